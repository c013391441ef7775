"""Time that moves only when a test says so."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any


class Alarm:
    """One callback that waits for its moment."""

    __slots__ = ("args", "callback", "is_cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] = callback
        self.args: tuple[Any, ...] = args
        self.is_cancelled: bool = False

    def cancel(self) -> None:
        """Never call back. May be repeated."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """As `asyncio.TimerHandle`."""
        return self.is_cancelled


class VirtualClock:
    """The wall clock of a test: for the engine's timers, and for those of the worker's runs and retries.

    `monotonic_ms` is the machine's: it decides leases and silences, which tests have no business with.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._order = itertools.count()

    def wall_ms(self) -> int:
        """The test's time of day."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """The machine's monotonic time."""
        return time.monotonic_ns() // 1_000_000

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Alarm:
        """Call back once the clock has been moved so far."""
        alarm = Alarm(callback, args)
        heapq.heappush(self._alarms, (self._now_ms + max(0, round(delay_s * 1000)), next(self._order), alarm))
        return alarm

    @property
    def next_ms(self) -> int | None:
        """The moment of the next callback; None without one."""
        while self._alarms and self._alarms[0][2].is_cancelled:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def move_to(self, now_ms: int) -> None:
        """Set the clock, never back, and call what became due, oldest first."""
        self._now_ms = max(now_ms, self._now_ms)
        while (due := self.next_ms) is not None and due <= self._now_ms:
            _, _, alarm = heapq.heappop(self._alarms)
            alarm.callback(*alarm.args)
