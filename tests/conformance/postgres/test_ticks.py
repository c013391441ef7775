"""Engines that fire the same ticks and the same delayed events at the same moment: each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from onward_engine.store.port import Ingest, RunFilter
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import FunctionManifest, Schedule

from tests.conformance.driver import Driver, function

MINUTE = 60_000


@pytest.fixture
async def drivers(postgres_url: str) -> AsyncIterator[list[Driver]]:
    """Three engines' stores."""
    async with AsyncExitStack() as stack:
        stores = [PostgresStore(postgres_url) for _ in range(3)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        yield [Driver(store) for store in stores]


async def count(driver: Driver) -> int:
    return len((await driver.store.runs(RunFilter(limit=5_000))).runs)


async def test_each_tick_is_one_run(drivers: list[Driver]) -> None:
    schedules = (Schedule("* * * * *"), Schedule("*/2 * * * *", "Europe/Berlin", overlap="cancel"))
    for driver in drivers:
        driver.now = 10 * MINUTE
    await drivers[0].register(FunctionManifest("shop/often", schedules=schedules))
    for _ in range(10):
        for driver in drivers:
            driver.now += MINUTE
        await asyncio.gather(*(driver.fire() for driver in drivers))
    assert await count(drivers[0]) == 10 + 5


async def test_each_delayed_event_comes_in_once(drivers: list[Driver]) -> None:
    first, *_ = drivers
    await first.register(function("work", "work.asked"))
    for batch in range(5):
        due = first.now + 10
        new = [first.new_event("work.asked", id=f"e{batch}_{n}") for n in range(20)]
        await first.one(Ingest(first.now, tuple(msgspec.structs.replace(one, due_at_ms=due) for one in new)))
        for driver in drivers:
            driver.now = due
        await asyncio.gather(*(fire_some(driver) for driver in drivers))
    while await first.fire():
        pass
    assert await count(first) == 100


async def fire_some(driver: Driver) -> None:
    for _ in range(4):
        await driver.fire(7)
