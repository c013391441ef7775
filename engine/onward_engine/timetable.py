"""The schedules of all functions, for people: what comes next, pauses, and ticks of the past that are made up for."""

from __future__ import annotations

from itertools import islice

from msgspec import Struct
from onward_protocol.messages import FunctionManifest, Schedule

from .catalogue import Catalogue
from .clock import Clock
from .commit import Committer
from .model import Item
from .rules import cron, schedules
from .rules.events import BadEvent
from .rules.schedules import Plan
from .store import planned
from .store.port import Backfill, Backfilled, HoldSchedule, RunFilter, Store

BACKFILL_MAX = 1_000
"""Ticks that one request makes up for."""

_BATCH = 100  # of them in one transaction


class Planned(Struct, frozen=True):
    """A schedule, the number that it has among those of its function, and what is kept of it."""

    function: str
    number: int
    plan: Plan


class Timetable:
    """All methods that change anything raise `Refused` if nothing was stored."""

    def __init__(self, committer: Committer, store: Store, catalogue: Catalogue, clock: Clock) -> None:
        self._committer = committer
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    async def page(self, function: str, after: str, limit: int) -> list[Planned]:
        """Return the schedules of a function, or the first of all functions behind the name `after`, whole functions
        at a time until these make `limit`.
        """
        found: list[Planned] = []
        for one in self._scheduled(function, after):
            if len(found) >= limit:
                break
            found += sorted(map(_planned, await self._store.items(planned.KIND, one.id)), key=_number)
        return found

    async def get(self, function: str, number: int) -> Planned | None:
        """Return a schedule."""
        return next((one for one in await self.page(function, "", 1) if one.number == number), None)

    def ticks(self, one: Planned, after_ms: int | None, count: int) -> list[int]:
        """Return the next ticks of a schedule, from now on or after a moment, whether it is paused or not."""
        return schedules.ticks_from(one.plan.schedule, self._clock.wall_ms() if after_ms is None else after_ms, count)

    async def hold(self, one: Planned, *, is_paused: bool) -> bool:
        """Pause a schedule, or let it tick again from now on; False if it is gone."""
        op = HoldSchedule(self._clock.wall_ms(), one.function, str(one.number), is_paused)
        return await self._committer.commit(op)

    async def backfill(self, one: Planned, from_ms: int, until_ms: int, *, is_dry: bool) -> list[Backfilled]:
        """Start the runs of the ticks from a moment until before another, up to now, that have none; with `is_dry` only
        tell which these are. Raises `BadEvent` for too many, and for a time that ends before it begins.
        """
        ticks = self._past(one.plan.schedule, from_ms, until_ms)
        if is_dry:
            return await self._told(one, ticks)
        done: list[Backfilled] = []
        for begin in range(0, len(ticks), _BATCH):
            batch = tuple(ticks[begin : begin + _BATCH])
            op = Backfill(self._clock.wall_ms(), one.function, one.plan.schedule, batch)
            done += await self._committer.commit(op)
        return done

    def _scheduled(self, function: str, after: str) -> list[FunctionManifest]:
        every = (one for app in self._catalogue.apps for one in app.functions if one.schedules)
        if function:
            return [one for one in every if one.id == function]
        return sorted((one for one in every if one.id > after), key=_id)

    def _past(self, schedule: Schedule, from_ms: int, until_ms: int) -> list[int]:
        if until_ms < from_ms:
            raise BadEvent("The time ends before it begins: `until` is earlier than `from`.")
        end_ms = min(until_ms, self._clock.wall_ms() + 1)
        following = cron.ticks_ms(schedule.expression, schedule.tz, from_ms - 1)
        ticks = [tick for tick in islice(following, BACKFILL_MAX + 1) if tick < end_ms]
        if len(ticks) > BACKFILL_MAX:
            raise BadEvent(f"There are more than {BACKFILL_MAX:,} ticks in that time; choose a shorter one.")
        return ticks

    async def _told(self, one: Planned, ticks: list[int]) -> list[Backfilled]:
        ids = {schedules.run_id(one.function, one.plan.schedule, tick): tick for tick in ticks}
        wanted = RunFilter(ids=tuple(ids), limit=len(ids))
        known = {run.id for run in (await self._store.runs(wanted)).runs} if ids else set[str]()
        return [Backfilled(tick, id, is_new=id not in known) for id, tick in ids.items()]


def _planned(item: Item) -> Planned:
    return Planned(item.owner, int(item.name), planned.plan_of(item))


def _number(one: Planned) -> int:
    return one.number


def _id(function: FunctionManifest) -> str:
    return function.id
