"""How runs end: once, and everything that follows from it in the same transaction."""

from __future__ import annotations

from onward_protocol.messages import Failure

from ...model import Run, Status
from ...rules import frames, lifecycle
from . import gates, offers, starts, waits
from .context import Work


def complete(work: Work, run: Run, output: bytes) -> None:
    """End a run with its result."""
    _end(work, run, lifecycle.completed(run, output, work.now_ms))


def fail(work: Work, run: Run, failure: Failure) -> None:
    """End a run with its failure, and start the function that handles it."""
    _end(work, run, lifecycle.failed(run, failure, work.now_ms))
    starts.start_failure_handler(work, run, failure)


def cancel(work: Work, run: Run, reason: str) -> None:
    """End a run without a result."""
    _end(work, run, lifecycle.cancelled(run, reason, work.now_ms))


def fail_overgrown(work: Work) -> None:
    """Fail the runs that what they waited for has made larger than a worker can be sent."""
    while work.overgrown:
        run = work.run(work.overgrown.pop(0))
        if not run.status.is_terminal:
            failure = frames.state_too_large(work.limits).failure
            work.fence(run, failure.message)
            fail(work, run, failure)


def park(work: Work, run: Run) -> None:
    """Stop a run that only waits, and give its place to the next one."""
    match lifecycle.after_parking(run, work.tables.has_waits(run.ord)):
        case Status.PARKED:
            leave(work, run)
            work.put(lifecycle.parked(run))
        case Status.READY:
            leave(work, run)
            _make_ready(work, run)
        case Status.QUEUED:
            work.fence(run, "it parked, but waits for nothing")
            leave(work, run)
            offers.offer(work, work.put(lifecycle.requeued(run)), due_at_ms=work.now_ms + STRANDED_MS)


STRANDED_MS = 1_000
"""A run that parks without a wait would do so again at once: a short pause keeps that from becoming a busy loop."""


def hand_back(work: Work, run: Run) -> None:
    """Queue a run that stopped between two steps; it keeps its place."""
    offers.withdraw(work, run)
    offers.offer(work, work.put(lifecycle.requeued(run)))


def leave(work: Work, run: Run, *, is_over: bool = False) -> None:
    """Take a run out of the queue and give its places back."""
    keys = offers.stood_for(work, run)
    offers.withdraw(work, run)
    offers.give_places(work, run, is_over=is_over)
    for key in keys:
        offers.let_in(work, key)


def _make_ready(work: Work, run: Run) -> None:
    ready = run if run.status is Status.READY else work.put(lifecycle.readied(run))
    offers.offer(work, ready)


def _end(work: Work, run: Run, ended: Run) -> None:
    work.tables.end_run(ended)
    gates.leave(work, run)
    leave(work, run, is_over=True)
    waits.close_all(work, ended)
    waits.resolve_for_child(work, ended)
    work.notices.finished.append(ended.id)
    work.count(ended.status.value, ended)
