"""Starts that are counted: never more than `limit` of them in any period, wherever it begins.

Each start is remembered by its millisecond. Above a thousand in a period they are remembered by cells, a thousandth of
the period long. A cell counts until its last moment is out of the period, so that this errs on the side of too few.
"""

from __future__ import annotations

from msgspec import Struct

EXACT_MAX = 1_000
"""So many starts of a period are remembered one by one: 10 KB."""

_CELLS = 1_000
_SKEW_MS = 60_000
"""Engines disagree by less than this. What lies further ahead is of a clock that was set back since."""


class Window(Struct, frozen=True, array_like=True):
    """What is remembered of a key: its newest start, and cells of (last moment, how many), the oldest first."""

    newest_ms: int = 0
    cells: tuple[tuple[int, int], ...] = ()


def is_full(window: Window, limit: int, period_ms: int, now_ms: int) -> bool:
    """Tell whether one more start would be too many."""
    return sum(count for _, count in _counting(window, period_ms, now_ms)) >= limit


def with_start(window: Window, limit: int, period_ms: int, now_ms: int) -> Window:
    """Count one more start, and forget what counts no longer."""
    cells = _counting(window, period_ms, now_ms)
    at_ms = max(now_ms, window.newest_ms) if cells else now_ms
    width_ms = 1 if limit <= EXACT_MAX else -(-period_ms // _CELLS)
    last_ms = at_ms - at_ms % width_ms + width_ms - 1
    if cells and cells[-1][0] >= last_ms:
        last_ms, count = cells.pop()
        return Window(at_ms, (*cells, (last_ms, count + 1)))
    return Window(at_ms, (*cells, (last_ms, 1)))


def forgotten_at_ms(window: Window, period_ms: int) -> int:
    """Return from when on nothing of it counts any more."""
    return window.cells[-1][0] + period_ms if window.cells else 0


def moved(window: Window, by_ms: int) -> Window:
    """Return the same on a clock that has jumped."""
    return Window(window.newest_ms + by_ms, tuple((last_ms + by_ms, count) for last_ms, count in window.cells))


def _counting(window: Window, period_ms: int, now_ms: int) -> list[tuple[int, int]]:
    """Return the cells that count now, and what other engines have counted whose clocks are ahead."""
    if window.newest_ms > now_ms + max(period_ms, _SKEW_MS):
        return []
    return [cell for cell in window.cells if cell[0] > now_ms - period_ms]
