"""Notices when the machine's time of day jumps, and lets timers that count from now not hear of it.

A small correction the engine follows at once. After a jump its own clock goes on as before until the timers are moved
by as much; then sleeps and time-outs end when they would have ended, and what stands for a moment of the day (ticks,
`sleep_until`, events that come in at a moment) follows the new time. The store keeps the time, so that an engine that
starts notices when the clock has been set back meanwhile; forwards cannot be told from time that passed.
"""

from __future__ import annotations

import asyncio

import structlog

from ..clock import JUMP_MS, SystemClock
from ..commit import Committer, ignore
from ..service import Service
from ..settings import Settings
from ..store.port import NoteTime, Notices, ShiftTimers

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.clock")


class Timekeeper(Service):
    """Looks at the clock now and then. For an engine that has its store, and so its time, for itself."""

    def __init__(self, committer: Committer, clock: SystemClock, settings: Settings) -> None:
        self._committer = committer
        self._clock = clock
        self._every_ms = settings.timekeeping_ms
        self._next_due_at_ms: int | None = None
        self._is_outdated = False  # timers have changed since the time was kept; the disk of an idle engine may sleep
        committer.listen(self._committed)

    async def _begin(self) -> None:
        now_ms = self._clock.wall_ms()
        last_ms = await self._note()
        if last_ms - now_ms > JUMP_MS:
            self._shift(now_ms, now_ms - last_ms)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_ms / 1000)
            await self.look()

    async def look(self) -> None:
        """Follow the time of day if it has jumped; keep it while timers come and go."""
        jump_ms = self._clock.jump_ms()
        if jump_ms:
            self._shift(self._clock.wall_ms() + jump_ms, jump_ms)
            # Behind it in the queue, everything has the new time; what was queued before is moved with the rest.
            self._clock.follow()
        if self._is_outdated:
            await self._note()

    def _shift(self, now_ms: int, by_ms: int) -> None:
        _log.warning("the clock has jumped", by_s=by_ms / 1000)
        self._committer.submit(ShiftTimers(now_ms, by_ms), ignore)

    async def _note(self) -> int:
        last_ms = await self._committer.commit(NoteTime(self._clock.wall_ms()))
        self._is_outdated = False
        return last_ms

    def _committed(self, notices: Notices) -> None:
        if notices.next_due_at_ms != self._next_due_at_ms:
            self._next_due_at_ms, self._is_outdated = notices.next_due_at_ms, True
