"""Runs are handed out: the epoch rises, and from here on only the new holder is heard."""

from __future__ import annotations

from heapq import merge
from itertools import islice

from msgspec.structs import replace
from onward_protocol.messages import Event, Failure

from ...model import Assignment, Run, Status
from ...rules import lifecycle, losses
from ...rules.flow.ranks import class_of
from ..port import SUPERSEDED, Claim, Rejected
from ..tables import Journal, QueueRow
from . import cancel, endings, offers, ownership, watches
from .context import Work

LEFT_MAX = 64
"""So many runs more are looked at where some may be left to workers of another version."""


def claim(work: Work, op: Claim) -> tuple[Assignment, ...] | Rejected:
    """Take the first claimable runs for one connection, if it is its worker's newest.

    A repeated claim returns what it took, as far as that is still its own.
    """
    if not work.is_heard(op.instance, op.generation):
        return Rejected(SUPERSEDED, "the worker is connected elsewhere")
    taken = work.tables.claimed(op.claim)
    if taken is not None:
        return tuple(_assignment(work, run, op.journal_bytes_max) for run in _still_owned(work, taken))
    offers.open_due(work, op.limit)
    runs = _take_heads(work, op)
    work.tables.put_claimed(op.claim, tuple((run.ord, run.epoch) for run in runs))
    return tuple(_assignment(work, run, op.journal_bytes_max) for run in runs)


def _heads(work: Work, op: Claim) -> list[QueueRow]:
    """Return who is first: of one function in its own order, of several the more urgent class and then the older."""
    paused = work.tables.catalog().paused
    queues = [_heads_of(work, op, index) for index in range(len(op.functions))]
    rows = merge(*queues, key=lambda row: (class_of(row.rank), row.ord))
    allowed = (row for row in rows if row.rank == offers.AGAIN or row.function not in paused)
    return list(islice(allowed, max(0, op.limit)))


def _heads_of(work: Work, op: Claim, index: int) -> list[QueueRow]:
    """Return the first claimable runs of a function, without those that are left to workers of another version."""
    function = op.functions[index]
    rivals = op.rivals[index] if op.rivals else ()
    if not rivals or op.limit <= 0:
        return work.tables.heads(function, op.limit)
    rows = work.tables.heads(function, op.limit + LEFT_MAX)
    work.tables.expect([row.ord for row in rows if row.rank == offers.AGAIN])
    return [row for row in rows if not _is_left(work, row, rivals)]


def _is_left(work: Work, row: QueueRow, rivals: tuple[str, ...]) -> bool:
    if row.rank != offers.AGAIN or work.now_ms >= row.due_at_ms + work.times.version_ms:
        return False
    version = work.tables.run_at(row.ord).version
    if version not in rivals:
        return False
    work.notices.left.add((row.function, version))
    return True


def _take_heads(work: Work, op: Claim) -> list[Run]:
    """A run that may kill its worker is taken alone; what stands behind it is left to the next claim."""
    runs: list[Run] = []
    heads = _heads(work, op)
    work.tables.expect([row.ord for row in heads])
    for row in heads:
        run = work.tables.run_at(row.ord)
        if run.is_held:
            _hold(work, run, op)
            continue
        is_alone = losses.is_suspect(run)
        if not (is_alone and runs):
            runs += _take(work, run, op)
        if is_alone:
            work.notices.queued.update(op.functions)
            break
    return runs


def _hold(work: Work, run: Run, op: Claim) -> None:
    """Keep a paused run whose holder has not come back in time; there may be others behind it."""
    work.fence(run, "the run is paused")
    ownership.requeue(work, run)
    work.notices.queued.update(op.functions)


def _take(work: Work, run: Run, op: Claim) -> list[Run]:
    """Return the run that was taken, or nothing: it may have cost so many workers that it ends here, and others may
    have taken the places that it was offered.
    """
    if not offers.take_places(work, run):
        work.notices.queued.update(op.functions)
        return []
    work.fence(run, "another worker has taken the run")
    offers.withdraw(work, run)
    if run.status is Status.ORPHANED:
        work.count("taken_over", run)
    strikes, is_new = run.strikes, not run.started_at_ms
    run = work.put(lifecycle.claimed(run, op.instance, op.generation, work.now_ms, _version(run, op)))
    if run.strikes > strikes:
        work.count("struck", run)
        run = _charge(work, run)
    if run.status.is_terminal:
        return []
    work.told(run)
    if is_new:
        watches.begin(work, run)
    cancel.start_cleanup(work, run)
    return [run]


def _version(run: Run, op: Claim) -> str:
    return run.version or (op.versions[op.functions.index(run.function)] if op.versions else "")


def _charge(work: Work, run: Run) -> Run:
    charge = losses.charge(run, work.entries_after(run, run.seen), work.limits)
    if charge is None:
        return run
    work.count("charged", run)
    if isinstance(charge, Failure):
        endings.fail(work, run, charge)
        return work.run(run.id)
    return work.write_entry(run, lambda pos: replace(charge, pos=pos, at_ms=work.now_ms))


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
