"""Runs are handed out: the epoch rises, and from here on only the new holder is heard."""

from __future__ import annotations

from onward_protocol.messages import Event

from ...model import Assignment, Run, Status
from ...rules import lifecycle
from ..port import Claim
from ..tables import Journal, QueueRow
from . import cancel, offers
from .context import Work


def claim(work: Work, op: Claim) -> tuple[Assignment, ...]:
    """Take the first claimable runs for one connection.

    A repeated claim returns what it took, as far as that is still its own.
    """
    taken = work.tables.claimed(op.claim)
    if taken is not None:
        return tuple(_assignment(work, run, op.journal_bytes_max) for run in _still_owned(work, taken))
    offers.open_due(work, op.limit)
    runs = [_take(work, work.tables.run_at(row.ord), op) for row in _heads(work, op)]
    work.tables.put_claimed(op.claim, tuple((run.ord, run.epoch) for run in runs))
    return tuple(_assignment(work, run, op.journal_bytes_max) for run in runs)


def _heads(work: Work, op: Claim) -> list[QueueRow]:
    rows = [row for function in op.functions for row in work.tables.heads(function, op.limit)]
    rows.sort(key=lambda row: (row.rank, row.ord))
    return rows[: max(0, op.limit)]


def _take(work: Work, run: Run, op: Claim) -> Run:
    work.fence(run, "another worker has taken the run")
    offers.withdraw(work, run)
    run = work.put(lifecycle.claimed(run, op.instance, op.generation, work.now_ms))
    work.told(run)
    cancel.start_cleanup(work, run)
    return run


def _still_owned(work: Work, taken: tuple[tuple[int, int], ...]) -> list[Run]:
    runs = [(work.tables.run_at(ord), epoch) for ord, epoch in taken]
    return [run for run, epoch in runs if run.epoch == epoch and run.status is Status.ASSIGNED]


def _assignment(work: Work, run: Run, journal_bytes_max: int | None) -> Assignment:
    run = work.tables.full(run)
    events = _events(work, run)
    has_journal = run.epoch > 1 or run.pos > 0
    if has_journal and journal_bytes_max is not None and run.state_bytes > journal_bytes_max:
        return Assignment(run, events, (), (), is_whole=False)
    journal = work.tables.journal(run) if has_journal else Journal()
    return Assignment(run, events, journal.segments, journal.entries)


def _events(work: Work, run: Run) -> tuple[Event, ...]:
    found = (work.tables.event(event) for event in run.events)
    return tuple(event for event in found if event)
