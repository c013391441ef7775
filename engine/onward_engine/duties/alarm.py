"""Fires timers when they are due: sleeps, time-outs, queue rows that become claimable.

It sleeps until the moment that the store named last, and does not look before.
"""

from __future__ import annotations

import asyncio
import contextlib

from ..clock import Clock
from ..commit import Committer
from ..service import Service
from ..settings import Settings
from ..store.port import FireTimers, Notices


class Alarm(Service):
    """The only one that fires timers in this engine."""

    def __init__(self, committer: Committer, clock: Clock, settings: Settings) -> None:
        self._committer = committer
        self._clock = clock
        self._limit = settings.bounds.timers_max
        self._recheck_ms = settings.recheck_ms
        self._due_at_ms: int | None = None
        self._earlier = asyncio.Event()
        committer.listen(self._committed)

    @property
    def due_at_ms(self) -> int | None:
        """The moment for which it sleeps; None without one."""
        return self._due_at_ms

    def look(self) -> None:
        """The clock was moved by hand: look at it now."""
        self._earlier.set()

    def _committed(self, notices: Notices) -> None:
        due = notices.next_due_at_ms
        if due is not None and (self._due_at_ms is None or due < self._due_at_ms):
            self._due_at_ms = due
            self._earlier.set()

    async def _run(self) -> None:
        while True:
            await self._until_due()
            await self._fire()

    async def _until_due(self) -> None:
        while self._due_at_ms is None or self._clock.wall_ms() < self._due_at_ms:
            self._earlier.clear()
            # Not `wait_for`: before Python 3.12 it swallows a cancellation that meets the event, and the engine that
            # is being stopped waits for this task for ever.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s()):
                    await self._earlier.wait()

    def _patience_s(self) -> float | None:
        if self._due_at_ms is None:
            return None
        left_ms = self._due_at_ms - self._clock.wall_ms()
        return max(0, min(left_ms, self._recheck_ms)) / 1000

    async def _fire(self) -> None:
        # The commit itself names the next moment, so what is known now is forgotten before it.
        self._due_at_ms = None
        await self._committer.commit(FireTimers(now_ms=self._clock.wall_ms(), limit=self._limit))
