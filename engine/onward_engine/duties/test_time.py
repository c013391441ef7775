"""Moves the clock of a test engine, and fires on the way all that is waiting for those moments."""

from __future__ import annotations

import asyncio

from ..clock import Clock, MovableClock
from ..commit import Committer
from ..settings import Settings
from ..store.port import FireTimers, Notices
from .alarm import Alarm
from .retention import Retention


class TestTime:
    """Moves the clock from one moment at which something is due to the next, as if it had gone by itself."""

    __test__ = False

    def __init__(
        self,
        committer: Committer,
        clock: Clock,
        hand: MovableClock,
        alarm: Alarm,
        retention: Retention,
        settings: Settings,
    ) -> None:
        self._committer = committer
        self._clock = clock
        self._hand = hand
        self._alarm = alarm
        self._retention = retention
        self._limit = settings.bounds.timers_max
        self._next_at_ms: int | None = None
        self._one_at_a_time = asyncio.Lock()
        committer.listen(self._committed)

    async def advance(self, ms: int) -> int:
        """Let so much time pass; returns the new time of day when everything that became due has been fired. What that
        makes workers do, goes on by itself. Raises `Refused`.
        """
        async with self._one_at_a_time:
            until_ms = self._clock.wall_ms() + ms
            while (due_at_ms := await self._fire()) is not None and due_at_ms <= until_ms:
                self._move_to(due_at_ms)
            self._move_to(until_ms)
            await self._fire()
            await self._retention.look()
            self._alarm.look()
            return self._clock.wall_ms()

    async def _fire(self) -> int | None:
        """Fire what is due now; return when something is due next."""
        await self._committer.commit(FireTimers(self._clock.wall_ms(), self._limit))
        return self._next_at_ms

    def _move_to(self, at_ms: int) -> None:
        self._hand.advance(max(0, at_ms - self._clock.wall_ms()))

    def _committed(self, notices: Notices) -> None:
        self._next_at_ms = notices.next_due_at_ms
