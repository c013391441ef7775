"""When a supervisor's workers are started again: at once, or after a pause that grows if one dies again and again.

Moments are milliseconds of one clock, whichever.
"""

from __future__ import annotations

from collections.abc import Iterable

STEADY_MS = 60_000
"""Who has lived for so long begins to count anew."""

PAUSE_MS, PAUSE_MS_MAX = 1_000, 15_000
"""In the first second the runs of the dead one begin elsewhere, and a start takes a processor. The longest is below the
age at which a heartbeat counts for nothing: a container is not killed for one process.
"""


class Succession:
    """Who is to be started, by number."""

    def __init__(self) -> None:
        self._due_at_ms: dict[int, int] = {}
        self._endings: dict[int, int] = {}  # in a row

    def __bool__(self) -> bool:
        return bool(self._due_at_ms)

    def plan(self, numbers: Iterable[int], now_ms: int) -> None:
        """Have these started at once."""
        self._due_at_ms |= dict.fromkeys(numbers, now_ms)

    def note_ending(self, number: int, lived_ms: int) -> None:
        """Note that one has ended before its time."""
        self._endings[number] = 1 if lived_ms >= STEADY_MS else self._endings.get(number, 0) + 1

    def has_ended(self, number: int) -> bool:
        """Tell whether one has ended before its time."""
        return number in self._endings

    def pause_ms(self, number: int) -> int:
        """Return how long its successor has to wait."""
        endings = self._endings.get(number, 0)
        return min(PAUSE_MS << min(endings - 1, 16), PAUSE_MS_MAX) if endings else 0

    def plan_successor(self, number: int, now_ms: int) -> None:
        """Have another one started in its place, after the pause."""
        self._due_at_ms[number] = now_ms + self.pause_ms(number)

    def take_due(self, now_ms: int) -> list[int]:
        """Return those whose time has come, once."""
        due = [number for number, at_ms in self._due_at_ms.items() if at_ms <= now_ms]
        for number in due:
            del self._due_at_ms[number]
        return due

    def wait_ms(self, now_ms: int) -> int | None:
        """Return how long it is until the next one is due; None if there is nobody."""
        return max(0, min(self._due_at_ms.values()) - now_ms) if self._due_at_ms else None

    def cancel(self) -> None:
        """Start nobody any more."""
        self._due_at_ms.clear()

    def forget(self) -> None:
        """Begin anew: nobody is due, and nobody has ended."""
        self._due_at_ms.clear()
        self._endings.clear()
