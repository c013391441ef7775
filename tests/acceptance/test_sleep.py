"""Sleeping: never less than was asked for, in order, and over the end of everything. Long times pass by the engine's
clock, which the tests move.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from onward import App, Checkpoint, Context, SyncContext

from tests.acceptance.bodies import noted
from tests.acceptance.house import House

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
functions = App("sleep")


@functions.function(tuple[str, str])
async def nap(ctx: Context[tuple[str, str]]) -> float:
    """Return for how many seconds the run slept, as it sees it itself."""
    name, duration = ctx.data
    begin = ctx.now()
    await ctx.sleep(duration)
    await ctx.step.run("awake", noted, f"awake {name}")
    return (ctx.now() - begin).total_seconds()


@pytest.mark.every_store
def test_a_short_sleep_takes_at_least_its_time(house: House, name: str) -> None:
    assert 0.3 <= house.run(nap, (name, "300ms")) < 30


@pytest.mark.every_store
def test_a_sleep_survives_the_end_of_worker_and_engine(house: House, name: str) -> None:
    run = house.start(nap, (name, "3h"))
    house.wait_status(run, "parked")
    house.kill_worker()
    house.restart_engine()
    house.advance(3 * HOUR_MS)
    house.start_worker()
    assert house.result(run) >= 3 * 3_600
    assert house.count(f"awake {name}") == 1


@pytest.mark.every_store
def test_a_sleep_does_not_end_a_minute_too_early_and_ends_when_its_time_has_come(house: House, name: str) -> None:
    run = house.start(nap, (name, "2h"))
    house.wait_status(run, "parked")
    house.advance(2 * HOUR_MS - MINUTE_MS)
    assert run.status() == "parked"
    house.advance(MINUTE_MS)
    assert 7_200 <= house.result(run) < 7_300


def test_a_run_may_sleep_for_366_days(house: House, name: str) -> None:
    run = house.start(nap, (name, "366d"))
    house.wait_status(run, "parked")
    house.advance(365 * DAY_MS)
    assert run.status() == "parked"
    house.advance(DAY_MS)
    assert house.result(run) >= 366 * 86_400


@pytest.mark.every_store
def test_many_sleeps_at_once_end_in_the_order_of_their_times(house: House, name: str) -> None:
    minutes = [7, 3, 9, 1, 5, 8, 2, 6, 4]
    runs = [house.start(nap, (f"{name} {minute}", f"{minute}m")) for minute in minutes]
    for run in runs:
        house.wait_status(run, "parked")
    for minute in sorted(minutes):
        house.advance(MINUTE_MS)
        house.wait_noted(f"awake {name} {minute}")
    assert house.lines(f"awake {name} ") == [str(minute) for minute in sorted(minutes)]


@functions.function(str)
async def until(ctx: Context[str]) -> bool:
    when = datetime.fromisoformat(ctx.data)
    await ctx.sleep_until(when)
    return ctx.now() >= when


def test_a_sleep_until_a_moment_ends_then_and_one_until_a_past_moment_at_once(house: House) -> None:
    now = datetime.fromtimestamp(house.now_ms() / 1000).astimezone()
    past, later = (
        house.start(until, (now - timedelta(days=1)).isoformat()),
        house.start(until, (now + timedelta(hours=1)).isoformat()),
    )
    assert house.result(past)
    house.wait_status(later, "parked")
    house.advance(HOUR_MS)
    assert house.result(later)


@functions.function(str, checkpoint=Checkpoint.OFF)
async def beside_each_other(ctx: Context[str]) -> list[str]:
    async def branch(minutes: int) -> str:
        await ctx.sleep(minutes * 60)
        return await ctx.step.run("awake", noted, f"{ctx.data} {minutes}")

    return list(await asyncio.gather(*map(branch, (2, 1))))


def test_branches_sleep_beside_each_other(house: House, name: str) -> None:
    run = house.start(beside_each_other, name)
    house.wait_status(run, "parked")
    house.advance(MINUTE_MS)
    house.wait_noted(f"{name} 1")
    assert house.count(f"{name} 2") == 0
    house.advance(MINUTE_MS)
    assert house.result(run) == [f"{name} 2", f"{name} 1"]
    assert (house.count(f"{name} 1"), house.count(f"{name} 2")) == (1, 1)


@functions.function(tuple[str, int])
def blocking(ctx: SyncContext[tuple[str, int]]) -> str:
    ctx.sleep(ctx.data[1])
    return ctx.step.run("awake", noted, ctx.data[0])


def test_a_blocking_function_sleeps_alike(house: House, name: str) -> None:
    run = house.start(blocking, (name, 600))
    house.wait_status(run, "parked")
    house.advance(10 * MINUTE_MS)
    assert (house.result(run), house.count(name)) == (name, 1)


def test_sleeping_runs_take_no_place_at_their_worker(house: House, name: str) -> None:
    runs = [house.start(nap, (name, "1h")) for _ in range(150)]  # a worker has a hundred slots
    for run in runs:
        house.wait_status(run, "parked")
    assert house.run(nap, (f"{name} beside", "0s")) >= 0
    house.advance(HOUR_MS)
    assert all(house.result(run) >= 3_600 for run in runs)
