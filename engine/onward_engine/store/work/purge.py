"""What is over long enough is deleted, a bounded number of rows at a time.

A run goes with its journal, the newest rows first, over as many transactions as it takes; an event goes with the last
run that was made of it, or by itself if it started none.
"""

from __future__ import annotations

from ..port import Purge, Purged
from ..tables import EndedRow
from .context import Work


def purge(work: Work, op: Purge) -> Purged:
    """Look at the next rows; delete those that nobody is to see any more."""
    runs, after_run, room = _purge_runs(work, op)
    events, after_event = _purge_events(work, op, room)
    return Purged(runs, events, after_run, after_event)


def _purge_runs(work: Work, op: Purge) -> tuple[int, int | None, int]:
    """Return how many are gone, where to go on, and how many rows may still be looked at."""
    room, after, gone = op.limit, op.after_run, 0
    if after is None:
        return 0, None, room
    rows = work.tables.ended_after(after, room)
    for row in rows:
        if row.created_at_ms >= op.runs_before_ms:  # and so it is with all that were accepted later
            return gone, None, room
        if room <= 0:
            return gone, after, 0
        room -= 1
        if row.ended_at_ms < op.runs_before_ms:
            room -= work.tables.trim_journal(row.ord, room + 1)
            if room < 0:
                return gone, after, 0
            _drop(work, op, row)
            gone += 1
        after = row.ord
    return gone, after if len(rows) == op.limit else None, room


def _drop(work: Work, op: Purge, row: EndedRow) -> None:
    work.tables.drop_items(row.id)
    for id in work.tables.drop_run(row.ord):
        event = work.tables.release_event(id)
        if event and event.runs == 0 and event.received_at_ms < op.events_before_ms:
            work.tables.drop_event(event.ord)


def _purge_events(work: Work, op: Purge, room: int) -> tuple[int, int | None]:
    after, gone = op.after_event, 0
    if after is None or room <= 0:
        return 0, after
    rows = work.tables.accepted_after(after, room)
    for row in rows:
        if row.received_at_ms >= op.events_before_ms:
            return gone, None
        if row.runs == 0:
            work.tables.drop_event(row.ord)
            gone += 1
        after = row.ord
    return gone, after if len(rows) == room else None
