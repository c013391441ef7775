"""Workers that are lost under a run: once is chance; again and again without progress, it is the run that kills them.

Each takeover without progress is a *strike*. From the second one on the run waits, and is given to a worker beside
which nothing else starts; after `losses_max` of them its step in flight fails. What the engine itself caused - a start,
a move, a drain - never is a strike, and progress forgets them.
"""

from __future__ import annotations

from collections.abc import Iterable

from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AttemptFailed, EngineEntry, Failure, Progress, Seen, WorkerEntry, WorkerLosses

from ..model import Run, Status

SUSPECT = 2
"""Strikes that make a run suspect. Any loss interrupts many runs; hardly ever the same one twice by chance."""


def is_strike(run: Run) -> bool:
    """Tell whether a claim of this run would be a takeover without progress.

    Of a run that has waited for its holder since a start of the engine, nobody knows the connection any more.
    """
    return run.status is Status.ORPHANED and run.generation > 0 and run.seq == 0


def is_suspect(run: Run) -> bool:
    """Tell whether a run that is claimed, or was, has to be alone."""
    return run.strikes + is_strike(run) >= SUSPECT


def pause_ms(run: Run, times: Times) -> int:
    """Return how long an orphaned run waits beyond its holder's grace, because of the strike that its claim will be."""
    strikes = run.strikes + 1
    if not is_strike(run) or strikes < SUSPECT:
        return 0
    return int(min(times.strike_min_ms << min(strikes - SUSPECT, 32), times.strike_max_ms))


def is_progress(entries: Iterable[WorkerEntry]) -> bool:
    """Tell whether a frame shows that the run has come further. A failed attempt, such as one that was charged with the
    loss, does not: the next one may kill the worker just the same.
    """
    return any(not isinstance(entry, AttemptFailed | Seen | Progress) for entry in entries)


def charge(run: Run, unseen: Iterable[EngineEntry], limits: Limits) -> WorkerLosses | Failure | None:
    """Say what follows from the newest strike: nothing yet, an entry that fails the step in flight, or the run's end.

    The entry names no step: which one was in flight only a replay knows, so the worker fails what it would start next.
    If worker after worker dies with that entry unmarked, the run never came to a step, and it fails itself.
    """
    charged = next((entry for entry in unseen if isinstance(entry, WorkerLosses)), None)
    if charged is None:
        return WorkerLosses(run.pos + 1, run.strikes) if run.strikes >= limits.losses_max else None
    if run.strikes < charged.losses + limits.losses_max:
        return None
    return Failure(
        "WorkerLost", f"{run.strikes} workers died while they ran this, one after the other, before it came to a step."
    )
