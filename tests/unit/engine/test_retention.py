"""Old runs go by themselves, a little at a time, and on one replica."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from onward_engine.clock import LoopClock
from onward_engine.commit import Committer
from onward_engine.duties.retention import DUTY, Retention
from onward_engine.settings import DAY_MS, Bounds, Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import HoldDuty, RunFilter, StartRun
from onward_protocol.messages import RunCompleted

from tests.conformance.driver import Driver, function
from tests.support.simulation import simulate

NOW_MS = 1_700_000_000_000


async def after_a_month(settings: Settings, *, is_free: bool = True) -> list[str]:
    """Return which of a hundred finished runs are left when 31 days and a bit have passed."""
    store, clock = MemoryStore(), LoopClock(NOW_MS)
    driver = Driver(store)
    driver.now = NOW_MS
    await driver.register(function("work"))
    for _ in range(100):
        run = await driver.running()
        await driver.checkpoint(run, 1, outcome=RunCompleted(b"\xc0"))
    committer = Committer(store, settings)
    async with asyncio.TaskGroup() as group:
        await committer.start(group)
        await asyncio.sleep(31 * DAY_MS / 1000)
        if not is_free:
            now_ms = clock.wall_ms()
            await committer.commit(HoldDuty(now_ms, DUTY, "another replica", now_ms + DAY_MS))
        await committer.commit(StartRun(clock.wall_ms(), "run_young", "shop/work", b"\xc0"))
        retention = Retention(committer, clock, settings, "this replica")
        await retention.start(group)
        await asyncio.sleep(3 * settings.purge_every_ms / 1000)
        await retention.stop()
        await committer.stop()
    return [run.id for run in (await store.runs(RunFilter(limit=1_000))).runs]


def left(settings: Settings, *, is_free: bool = True) -> list[str]:
    """The same, in virtual time."""
    return simulate(lambda _: after_a_month(settings, is_free=is_free))


def test_what_is_older_than_the_retention_goes_page_by_page() -> None:
    settings = replace(Settings(), bounds=replace(Bounds(), purge_rows_max=7))
    assert left(settings) == ["run_young"]


def test_a_longer_retention_keeps_it() -> None:
    assert len(left(replace(Settings(), retention_ms=60 * DAY_MS))) == 101


def test_another_replica_that_has_the_duty_is_left_to_it() -> None:
    assert len(left(Settings(), is_free=False)) == 101
