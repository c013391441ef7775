"""The time of day as the store knows it, and what becomes of timers when that of the machine jumps."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from onward_protocol.messages import Sleep

from ...model import Item
from ...rules.flow.entry import BATCH, DEBOUNCE, IDEMPOTENCY, RATE
from ..port import NoteTime, ShiftTimers
from ..tables import OpenWait
from . import gates, gathering, limits, offers, throttles
from .context import Work

KIND = "clock"
_EVER_MS = 2**61
_ALL = 2**31


def _moved(item: Item, by_ms: int) -> Item:
    return replace(item, due_at_ms=(item.due_at_ms or 0) + by_ms)


_MOVED: dict[str, Callable[[Item, int], Item]] = {
    BATCH: gathering.moved,
    DEBOUNCE: gathering.moved,
    IDEMPOTENCY: _moved,
    RATE: gates.moved_window,
    limits.KIND: _moved,
    offers.LINE: _moved,
    throttles.KIND: throttles.moved,
}
"""What counts from a moment of the old time, by the kind of its item."""


def note_time(work: Work, op: NoteTime) -> int:
    """Keep this moment; return the one that was kept before."""
    before = work.tables.item(KIND, "", "")
    work.tables.put_item(Item(KIND, "", "", None, op.now_ms.to_bytes(8, "big")))
    return 0 if before is None else int.from_bytes(before.body, "big")


def shift_timers(work: Work, op: ShiftTimers) -> int:
    """Move every timer that counts from a moment of the old time. One that stands for a moment of the day stays.

    All in one transaction, some seconds for 100,000 of them: half of them moved would be worse than none.
    """
    waits = [wait for wait in work.tables.waits_due(_EVER_MS, _ALL) if _is_relative(wait)]
    for wait in waits:
        work.tables.put_wait(replace(wait, due_at_ms=(wait.due_at_ms or 0) + op.by_ms))
    rows = work.tables.rows_due(_EVER_MS, _ALL)
    for row in rows:
        work.tables.put_queue_row(replace(row, due_at_ms=row.due_at_ms + op.by_ms))
    items = [item for item in work.tables.items_due(_EVER_MS, _ALL) if item.kind in _MOVED]
    for item in items:
        work.tables.put_item(_MOVED[item.kind](item, op.by_ms))
    return len(waits) + len(rows) + len(items)


def _is_relative(wait: OpenWait) -> bool:
    return not (isinstance(wait.wait, Sleep) and wait.wait.until_at_ms)
