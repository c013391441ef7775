"""Timeouts: of a run's start and end, of a step's attempt, of a block; and heartbeats."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from onward import (
    App,
    Checkpoint,
    Concurrency,
    Context,
    EventType,
    Retry,
    RunCancelled,
    StepFailed,
    SyncContext,
    Timeouts,
    current_step,
    step,
)

from tests.acceptance.bodies import noted, stand_at, tries
from tests.acceptance.house import House
from tests.support.processes import note

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
functions = App("timeouts", retry=Retry(attempts=2, backoff="1ms"))
Go = EventType("timeouts/go", str)


# -- of a block


@functions.function(str, checkpoint=Checkpoint.OFF)
async def in_a_block(ctx: Context[str]) -> str:
    try:
        async with ctx.timeout("2h"):
            await ctx.step.run("in", noted, f"in {ctx.data}")
            await ctx.wait_for_event(Go, where=f"async.data == '{ctx.data}'")
    except TimeoutError:
        return await ctx.step.run("late", noted, f"late {ctx.data}")
    return await ctx.step.run("in time", noted, f"in time {ctx.data}")


@pytest.mark.every_store
def test_the_time_of_a_block_survives_the_end_of_worker_and_engine(house: House, name: str) -> None:
    run = house.start(in_a_block, name)
    house.wait_status(run, "parked")
    house.kill_worker()
    house.restart_engine()
    house.advance(3 * HOUR_MS)
    house.start_worker()
    assert (house.result(run), house.count(f"in {name}")) == (f"late {name}", 1)


def test_a_block_that_ends_in_time_has_no_timeout_later(house: House, name: str) -> None:
    run = house.start(in_a_block, name)
    house.wait_status(run, "parked")
    house.send(Go(name))
    assert house.result(run) == f"in time {name}"


# -- of the start


@functions.function(str, timeouts=Timeouts(start="10m"), concurrency=Concurrency(1))
async def soon_or_never(ctx: Context[str]) -> str:
    note("at", ctx.data)
    await ctx.step.run("stand", stand_at, ctx.data)
    return ctx.data


@pytest.mark.every_store
def test_a_run_that_is_queued_too_long_is_cancelled_and_never_starts(house: House, name: str) -> None:
    first, second = house.start(soon_or_never, f"{name} 1"), house.start(soon_or_never, f"{name} 2")
    house.wait_noted(f"at {name} 1")
    house.advance(11 * MINUTE_MS)
    assert (house.status(second), house.count(f"at {name} 2")) == ("cancelled", 0)
    house.open_gate(f"{name} 1")
    assert house.result(first) == f"{name} 1"  # it had started in time


def test_a_run_without_a_worker_for_too_long_is_cancelled_too(house: House, name: str) -> None:
    with house.no_worker():
        run = house.start(soon_or_never, name)
        house.advance(11 * MINUTE_MS)
        assert run.status() == "cancelled"
    assert house.count(f"at {name}") == 0


# -- of the end


@functions.function(str, timeouts=Timeouts(finish="1h"))
async def an_hour(ctx: Context[str]) -> str:
    try:
        await ctx.sleep("30m")
        note("half", ctx.data)
        await ctx.wait_for_event(Go, where=f"async.data == '{ctx.data}'")
    except RunCancelled:
        await ctx.step.run("clean", noted, f"cleaned {ctx.data}")
        raise
    return ctx.data


@pytest.mark.every_store
def test_a_run_that_takes_too_long_is_cancelled_with_time_to_clean_up(house: House, name: str) -> None:
    run = house.start(an_hour, name)
    house.wait_status(run, "parked")
    house.advance(31 * MINUTE_MS)
    house.wait_noted(f"half {name}")
    house.wait_status(run, "parked")
    house.advance(29 * MINUTE_MS + 1_000)  # not further: the time to clean up goes by the same clock
    assert (house.status(run), house.count(f"cleaned {name}")) == ("cancelled", 1)
    assert "finish" in str(house.view(run.id)["cancel_reason"])


def test_a_run_that_ends_in_time_is_left_alone(house: House, name: str) -> None:
    run = house.start(an_hour, name)
    house.wait_status(run, "parked")
    house.advance(31 * MINUTE_MS)
    house.send(Go(name))
    assert house.result(run) == name
    house.advance(HOUR_MS)
    assert run.status() == "completed"


def test_the_time_goes_on_over_the_end_of_worker_and_engine(house: House, name: str) -> None:
    run = house.start(an_hour, name)
    house.wait_status(run, "parked")
    house.kill_worker()
    house.restart_engine()
    house.advance(61 * MINUTE_MS)
    house.start_worker()
    assert house.status(run) == "cancelled"


# -- of a step's attempt


@step(timeout="100ms", retry=Retry(attempts=3, backoff="1ms"))
async def slow_at_first(line: str) -> int:
    attempt = tries(line)
    if attempt < 3:
        await asyncio.sleep(60)
    return attempt


@functions.function(str)
async def patient(ctx: Context[str]) -> int:
    return await slow_at_first(ctx.data)


@pytest.mark.every_store
def test_an_attempt_that_takes_too_long_has_failed_and_the_next_one_may_succeed(house: House, name: str) -> None:
    run = house.start(patient, name)
    assert (house.result(run), house.count(name)) == (3, 3)
    assert house.steps(run, "step")[0].attempts == 3


@functions.function(str, timeouts=Timeouts(step="50ms"))
async def impatient(ctx: Context[str]) -> list[Any]:
    try:
        await ctx.step.run("slow", asyncio.sleep, 60)
    except StepFailed as error:
        return [error.type, error.attempts, await ctx.step.options(timeout="1m").run("own", after, 0.2)]
    return []


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "in time"


def test_a_function_sets_the_time_of_its_steps_and_a_step_its_own(house: House) -> None:
    assert house.run(impatient, "") == ["StepTimeout", 2, "in time"]


@functions.function(str)
def blocking(ctx: SyncContext[str]) -> str:
    try:
        ctx.step.options(timeout="100ms", retry=Retry(attempts=1)).run("slow", time.sleep, 2)
    except StepFailed as error:
        return error.type
    return ""


def test_a_blocking_step_that_takes_too_long_fails_while_its_thread_goes_on(house: House) -> None:
    begin = time.monotonic()
    assert house.run(blocking, "") == "StepTimeout"
    assert time.monotonic() - begin < 20


# -- heartbeats


@step(heartbeat="300ms", retry=Retry(attempts=2, backoff="1ms"))
async def silent_at_first(line: str) -> str:
    details = current_step().details
    if tries(line) == 1:
        for done in range(20):  # longer than a heartbeat, but heard all the time
            current_step().heartbeat(done)
            await asyncio.sleep(0.03)
        await asyncio.sleep(60)
    return f"resumed at {details}"


@functions.function(str)
async def heard(ctx: Context[str]) -> str:
    return await silent_at_first(ctx.data)


def test_a_step_that_is_not_heard_of_is_tried_again_from_where_it_was(house: House, name: str) -> None:
    assert house.run(heard, name) == "resumed at 19"
