"""An engine that shares its store says that it lives, and goes on with the workers of one that does not.

Nobody is judged by somebody who may himself have been away. A stalled database makes all engines look dead together:
so whoever judges has written its own row twice, an interval apart and quickly, since it was last late; by then the
others have done so too.

An engine that could not write its row for some seconds hands out nothing and renews no lease, because others may give
its workers' runs away: they do so when the leases are over which it has renewed until then. Its workers stay, because a
store that stalls does so for everybody; after half a minute they are sent to look for an engine that is better off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ..clock import Clock
from ..commit import Committer, Refused
from ..service import Service
from ..settings import Settings
from ..store.port import Company, Present, TakeOver

QUICK_BEATS_MIN = 2

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.presence")


class Presence(Service):
    """Beats, and judges the others. `send_on` is called when this engine's workers had better look for another one, or
    come in anew because others had given it up; `on_company` after each beat with the number of others that live.
    """

    def __init__(
        self,
        committer: Committer,
        clock: Clock,
        settings: Settings,
        replica: str,
        *,
        send_on: Callable[[], None],
    ) -> None:
        self.others = 0
        self.on_company: Callable[[int], None] = lambda _others: None
        self._committer = committer
        self._clock = clock
        self._times = settings.sharing
        self._adoption_ms = settings.times.adoption_ms
        self._patience_ms = self._times.dead_ms * 2 // 3
        self._lease_ms = self._patience_ms + settings.times.lease_ms
        self._limit = settings.bounds.takeover_sessions_max
        self._replica = replica
        self._send_on = send_on
        self._isolated: asyncio.TimerHandle | None = None
        self._since_at_ms: int | None = None
        self._next_at_ms = clock.monotonic_ms()
        self._written_at_ms = clock.monotonic_ms()
        self._quick_beats = 0

    @property
    def is_current(self) -> bool:
        """Whether nobody can have given up this engine. Ask when it matters: it may have stood still until now."""
        return self._clock.monotonic_ms() - self._written_at_ms <= self._patience_ms

    async def leave(self) -> None:
        """Hand everything on, if there is somebody who goes on; returns when it is stored."""
        if self._isolated is not None:
            self._isolated.cancel()
        if self.others:
            self._next_at_ms = self._clock.monotonic_ms() + self._times.dead_ms
            await self._take_over(self._replica, self._clock.wall_ms(), lease_ms=0)

    async def _begin(self) -> None:
        """Beat once: from now on workers may come. Raises `Refused`."""
        await self._beat()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(0, self._next_at_ms - self._clock.monotonic_ms()) / 1000)
            try:
                company = await self._beat()
                if self._quick_beats >= QUICK_BEATS_MIN:
                    await self._judge(company.silent)
            except Refused as refused:
                self._quick_beats = 0
                _log.warning("no sign of life", code=refused.code, reason=refused.message)

    async def _beat(self) -> Company:
        begun_at_ms = self._clock.monotonic_ms()
        is_late = begun_at_ms - self._next_at_ms >= self._times.beat_ms  # this process may have stood still
        self._next_at_ms = begun_at_ms + self._times.beat_ms
        op = Present(self._clock.wall_ms(), self._replica, self._times.dead_ms)
        company = await self._committer.commit(op, is_urgent=True)
        self._watch()
        is_slow = self._clock.monotonic_ms() - begun_at_ms >= self._times.beat_ms
        self._quick_beats = 0 if is_late or is_slow else self._quick_beats + 1
        self._written_at_ms = begun_at_ms
        self._hear(company)
        return company

    def _watch(self) -> None:
        """Begin to wait for the next row anew."""
        if self._isolated is not None:
            self._isolated.cancel()
        self._isolated = asyncio.get_running_loop().call_later(self._times.isolated_ms / 1000, self._give_up)

    def _give_up(self) -> None:
        _log.error("this engine cannot reach its store", for_ms=self._times.isolated_ms)
        self._send_on()

    def _hear(self, company: Company) -> None:
        self.others = company.others
        self.on_company(company.others)
        is_back = self._since_at_ms not in (None, company.since_at_ms)
        self._since_at_ms = company.since_at_ms
        if is_back:
            _log.warning("this engine was given up by others, and is back")
            self._send_on()

    async def _judge(self, silent: tuple[str, ...]) -> None:
        for replica in silent:
            await self._take_over(replica, self._clock.wall_ms() - self._times.dead_ms, self._lease_ms)

    async def _take_over(self, replica: str, silent_since_ms: int, lease_ms: int) -> None:
        """Go on until it is done or the next beat is due: what is left is found again."""
        runs, is_done = 0, False
        while not is_done and self._clock.monotonic_ms() < self._next_at_ms:
            now_ms = self._clock.wall_ms()
            op = TakeOver(now_ms, replica, silent_since_ms, now_ms + self._adoption_ms, self._limit, lease_ms)
            taken = await self._committer.commit(op)
            runs, is_done = runs + taken.runs, taken.is_done
        if runs or replica != self._replica:
            _log.warning("replica taken over", replica=replica, runs=runs, is_done=is_done)
