"""Deletes what is over long enough: finished runs with their journals, and events that nobody looks back to.

A pass goes over everything that may be too old, a small transaction at a time and most of the time at rest, so that
nobody notices it. An engine without work looks once a day: its disk may sleep. Of several replicas one does it, under
a lease.
"""

from __future__ import annotations

import asyncio

import structlog

from ..clock import Clock
from ..commit import Committer, Refused
from ..rules.waits import LOOK_BACK_MS
from ..service import Service
from ..settings import DAY_MS, Settings
from ..store.port import HoldDuty, Notices, Purge, Purged

DUTY = "retention"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.retention")


class Retention(Service):
    """The one that deletes."""

    def __init__(self, committer: Committer, clock: Clock, settings: Settings, replica: str) -> None:
        self._committer = committer
        self._clock = clock
        self._settings = settings
        self._replica = replica
        self._after_event = 0  # everything up to here is gone, or goes with a run
        self._has_worked = True  # the engine before it may have left something
        self._pass_at_ms = clock.wall_ms()
        self._one_at_a_time = asyncio.Lock()
        committer.listen(self._committed)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.purge_every_ms / 1000)
            await self.look()

    async def look(self) -> None:
        """Delete what is too old now, if there can be anything."""
        async with self._one_at_a_time:
            if not self._is_due():
                return
            try:
                await self._pass()
            except Refused as refused:  # a full or a busy store: there is always a next time
                _log.warning("nothing deleted", code=refused.code, reason=refused.message)

    def _committed(self, _: Notices) -> None:
        self._has_worked = True

    def _is_due(self) -> bool:
        return self._has_worked or self._clock.wall_ms() - self._pass_at_ms >= DAY_MS

    async def _holds(self) -> bool:
        now_ms = self._clock.wall_ms()
        lease_ms = 2 * self._settings.purge_every_ms
        return await self._committer.commit(HoldDuty(now_ms, DUTY, self._replica, now_ms + lease_ms)) > 0

    async def _pass(self) -> None:
        runs = events = 0
        purged = Purged(after_run=0, after_event=self._after_event)
        while (purged.after_run is not None or purged.after_event is not None) and await self._holds():
            purged = await self._purge(purged)
            runs, events = runs + purged.runs, events + purged.events
            self._after_event = purged.after_event or self._after_event
            await asyncio.sleep(self._settings.purge_rest_ms / 1000)
        self._has_worked, self._pass_at_ms = False, self._clock.wall_ms()
        if runs or events:
            _log.info("old runs and events deleted", runs=runs, events=events)

    async def _purge(self, last: Purged) -> Purged:
        now_ms = self._clock.wall_ms()
        op = Purge(
            now_ms=now_ms,
            runs_before_ms=now_ms - self._settings.retention_ms,
            events_before_ms=now_ms - LOOK_BACK_MS,
            after_run=last.after_run,
            after_event=last.after_event,
            limit=self._settings.bounds.purge_rows_max,
        )
        return await self._committer.commit(op)
