"""Runs that somebody is to claim: the queue, and the places that concurrency limits leave.

A run takes its place before it can be claimed. Without a free place it stands in line; whoever gives a place back
lets the next one in, and that is also when a woken run's holder is asked to take it.
"""

from __future__ import annotations

from ...model import Run, Status
from ...rules import flow
from ..tables import QueueRow, QueueState
from .context import Work

AGAIN = 0
NEW = 1

_IN_QUEUE = (Status.QUEUED, Status.ORPHANED, Status.READY)


def offer(work: Work, run: Run, rank: int = AGAIN, due_at_ms: int = 0) -> None:
    """Queue a run, claimable from `due_at_ms` on (0: at once), as soon as it has a place; a held one when it is
    resumed. One whose holder may still execute it keeps its place until somebody else could have it.
    """
    if run.is_held and run.status is not Status.ORPHANED:
        work.tables.put_queue_row(QueueRow(run.ord, run.function, rank, QueueState.HELD, due_at_ms))
        give_place(work, run)
    elif take_place(work, run):
        _open(work, run, rank, due_at_ms)
    else:
        work.tables.put_queue_row(QueueRow(run.ord, run.function, rank, QueueState.LINE, flow_key=run.flow_key))


def offer_again(work: Work, run: Run) -> None:
    """Queue a run anew that is held from now on, or is not any more. One that is not queued stays where it is.

    One that is to clean up is not new, even if nobody has begun it: a pause of its function must not keep it.
    """
    row = work.tables.queue_row(run.ord) if run.status in _IN_QUEUE else None
    if row is not None:
        offer(work, run, row.rank if run.cancel_reason is None else AGAIN, row.due_at_ms)


def withdraw(work: Work, run: Run) -> None:
    """Take a run out of the queue, if its status says that it is there; it keeps its place if it has one."""
    if run.status in _IN_QUEUE:
        work.tables.drop_queue_row(run.ord)


def take_place(work: Work, run: Run) -> bool:
    """Give a run a place of its flow key, unless all are taken. True if it has one, or needs none."""
    key = run.flow_key
    if not key or work.tables.has_place(key, run.ord):
        return True
    limit = flow.limit_now(run, work.tables.catalog().functions.get(run.function))
    if limit is not None and work.tables.places_taken(key) >= limit:
        return False
    work.tables.add_place(key, run.ord)
    return True


def give_place(work: Work, run: Run) -> None:
    """Give a run's place back and let in whoever is next in line."""
    if not run.flow_key or not work.tables.has_place(run.flow_key, run.ord):
        return
    work.tables.drop_place(run.flow_key, run.ord)
    while row := work.tables.line_head(run.flow_key):
        following = work.tables.run_at(row.ord)
        if not take_place(work, following):
            return
        _open(work, following, row.rank, 0)


def open_due(work: Work, limit: int) -> None:
    """Make claimable what is due."""
    for row in work.tables.rows_due(work.now_ms, limit):
        work.tables.put_queue_row(QueueRow(row.ord, row.function, row.rank, QueueState.OPEN, work.now_ms))
        work.notices.queued.add(row.function)


def _open(work: Work, run: Run, rank: int, due_at_ms: int) -> None:
    if run.status is Status.READY and run.holder:
        due_at_ms = max(due_at_ms, work.now_ms + work.times.affinity_ms)
        work.remind(run)
    if due_at_ms > work.now_ms:
        work.tables.put_queue_row(QueueRow(run.ord, run.function, rank, QueueState.LATER, due_at_ms))
    else:
        work.tables.put_queue_row(QueueRow(run.ord, run.function, rank, QueueState.OPEN, work.now_ms))
        work.notices.queued.add(run.function)
