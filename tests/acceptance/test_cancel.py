"""Cancelling: by a request or an event, whatever the run does; with time to clean up, and nothing recorded after it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import pytest
from onward import App, CancelOn, Concurrency, Context, EventType, Retry, RunCancelled, RunFailed, SyncContext
from onward.errors import EngineRefused

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

HOUR_MS = 3_600_000
functions = App("cancel", retry=Retry(attempts=1))


async def stand(gate: str) -> str:
    note("at", gate)
    try:
        await stand_at(gate)
    except asyncio.CancelledError:
        note("told", gate)
        raise
    return gate


# -- whatever it does


@functions.function(str)
async def clean(ctx: Context[str]) -> str:
    """Stand at a gate, and clean up when that is cancelled."""
    try:
        await ctx.step.run("stand", stand, ctx.data)
    except RunCancelled:
        await ctx.step.run("clean", noted, f"cleaned {ctx.data}")
        raise
    return await ctx.step.run("after", noted, f"after {ctx.data}")


@pytest.mark.every_store
def test_a_running_step_is_told_and_the_code_cleans_up(house: House, name: str) -> None:
    run = house.start(clean, name)
    house.wait_noted(f"at {name}")
    run.cancel()
    assert house.status(run) == "cancelled"
    assert [house.count(f"{what} {name}") for what in ("told", "cleaned", "after")] == [1, 1, 0]
    assert [line.key.partition("@")[0] for line in house.steps(run, "step")] == ["clean"]


def test_the_code_is_told_within_a_beat(house: House, name: str) -> None:
    run = house.start(clean, name)
    house.wait_noted(f"at {name}")
    begin = time.monotonic()
    run.cancel()
    house.wait_noted(f"told {name}")
    assert time.monotonic() - begin < 5


@functions.function(str)
async def sleeper(ctx: Context[str]) -> None:
    try:
        await ctx.sleep("1h")
    finally:
        await ctx.step.run("clean", noted, f"cleaned {ctx.data}")


@pytest.mark.every_store
def test_a_sleeping_run_is_woken_to_clean_up_and_its_sleep_never_ends(house: House, name: str) -> None:
    run = house.start(sleeper, name)
    house.wait_status(run, "parked")
    run.cancel()
    assert (house.status(run), house.count(f"cleaned {name}")) == ("cancelled", 1)
    house.advance(2 * HOUR_MS)
    assert run.status() == "cancelled"


Never = EventType("cancel/never", str)


@functions.function(str)
async def waiter(ctx: Context[str]) -> None:
    await ctx.wait_for_event(Never, where=f"async.data == '{ctx.data}'")
    note("woken", ctx.data)


def test_a_waiting_run_ends_and_its_event_finds_nobody(house: House, name: str) -> None:
    run = house.start(waiter, name)
    house.wait_status(run, "parked")
    run.cancel()
    assert house.status(run) == "cancelled"
    house.send(Never(name))
    assert house.count(f"woken {name}") == 0


@functions.function(str, concurrency=Concurrency(1))
async def one_at_a_time(ctx: Context[str]) -> str:
    return await ctx.step.run("stand", stand, ctx.data)


def test_a_queued_run_is_over_at_once_and_never_starts(house: House, name: str) -> None:
    first, second = (house.start(one_at_a_time, f"{name} {number}") for number in (1, 2))
    house.wait_noted(f"at {name} 1")
    second.cancel()
    assert second.status() == "cancelled"
    house.open_gate(f"{name} 1")
    assert (house.result(first), house.count(f"at {name} 2")) == (f"{name} 1", 0)


def test_a_run_without_a_worker_is_over_at_once(house: House, name: str) -> None:
    with house.no_worker():
        run = house.start(clean, name)
        run.cancel()
        assert run.status() == "cancelled"
    assert house.count(f"at {name}") == 0


@functions.function(str)
def blocking(ctx: SyncContext[str]) -> str:
    note("at", ctx.data)
    try:
        ctx.sleep("1h")
    except RunCancelled:
        ctx.step.run("clean", noted, f"cleaned {ctx.data}")
        raise
    return ctx.data


def test_a_blocking_function_is_told_at_its_durable_call(house: House, name: str) -> None:
    run = house.start(blocking, name)
    house.wait_status(run, "parked")
    run.cancel()
    assert (house.status(run), house.count(f"cleaned {name}")) == ("cancelled", 1)


@functions.function(str)
async def branches(ctx: Context[str]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(ctx.step.run("stand", stand, f"{ctx.data} {number}"))
    finally:
        await ctx.step.run("clean", noted, f"cleaned {ctx.data}")


def test_all_branches_are_told(house: House, name: str) -> None:
    run = house.start(branches, name)
    for number in range(3):
        house.wait_noted(f"at {name} {number}")
    run.cancel()
    assert house.status(run) == "cancelled"
    assert [house.count(f"told {name} {number}") for number in range(3)] == [1, 1, 1]
    assert house.count(f"cleaned {name}") == 1


# -- cleaning up


@functions.function(str)
async def slow_to_clean(ctx: Context[str]) -> None:
    try:
        await ctx.sleep("1h")
    except RunCancelled:
        await ctx.step.run("first", noted, f"first {ctx.data}")
        await ctx.step.run("stand", stand, ctx.data)
        await ctx.step.run("last", noted, f"last {ctx.data}")
        raise


@pytest.mark.every_store
def test_cleaning_up_survives_the_end_of_its_worker(house: House, name: str) -> None:
    run = house.start(slow_to_clean, name)
    house.wait_status(run, "parked")
    run.cancel()
    house.wait_noted(f"at {name}")
    house.kill_worker()
    house.open_gate(name)
    house.start_worker()
    assert house.status(run) == "cancelled"
    assert [house.count(f"{what} {name}") for what in ("first", "at", "last")] == [1, 2, 1]


@pytest.mark.every_store
def test_when_the_time_to_clean_up_is_over_nothing_more_is_recorded(house: House, name: str) -> None:
    run = house.start(slow_to_clean, name)
    house.wait_status(run, "parked")
    house.client.cancel(run.id, cleanup="1m")
    house.wait_noted(f"at {name}")
    house.advance(61_000)
    assert house.status(run) == "cancelled"
    house.open_gate(name)
    house.until(lambda: not any(one.held for one in house.client.list_workers()), "its worker has let go of it")
    assert (house.count(f"last {name}"), len(house.steps(run, "step"))) == (0, 1)


def test_without_time_to_clean_up_it_is_over_at_once(house: House, name: str) -> None:
    run = house.start(slow_to_clean, name)
    house.wait_status(run, "parked")
    house.client.cancel(run.id, cleanup=0)
    assert run.status() == "cancelled"
    assert house.count(f"first {name}") == 0


@functions.function(str)
async def stubborn(ctx: Context[str]) -> str:
    try:
        await ctx.sleep("1h")
    except RunCancelled:
        note("ignored", ctx.data)
    return "done all the same"


def test_code_that_goes_on_in_spite_of_it_is_cancelled_all_the_same(house: House, name: str) -> None:
    run = house.start(stubborn, name)
    house.wait_status(run, "parked")
    run.cancel()
    assert house.status(run) == "cancelled"
    assert house.count(f"ignored {name}") == 1


# -- the request


def test_a_second_request_changes_nothing(house: House, name: str) -> None:
    run = house.start(sleeper, name)
    house.wait_status(run, "parked")
    run.cancel()
    run.cancel()
    assert (house.status(run), house.count(f"cleaned {name}")) == ("cancelled", 1)


@functions.function(str)
async def at_once(ctx: Context[str]) -> str:
    return ctx.data


def test_a_run_that_is_over_cannot_be_cancelled_and_says_so(house: House, name: str) -> None:
    run = house.start(at_once, name)
    house.result(run)
    with pytest.raises(EngineRefused, match="over"):
        run.cancel()
    assert run.status() == "completed"


def test_a_run_that_does_not_exist_is_named(house: House) -> None:
    with pytest.raises(EngineRefused, match="run_nobody"):
        house.client.cancel("run_nobody")


def test_whoever_waits_for_the_result_is_told_that_and_why_it_was_cancelled(house: House, name: str) -> None:
    run = house.start(sleeper, name)
    house.wait_status(run, "parked")
    house.client.cancel(run.id, reason="sold out")
    error = house.failure(run)
    assert isinstance(error, RunFailed)
    assert (error.type, house.view(run.id)["cancel_reason"]) == ("RunCancelled", "sold out")


def test_a_request_survives_a_kill_of_the_engine_right_behind_its_answer(house: House, name: str) -> None:
    run = house.start(sleeper, name)
    house.wait_status(run, "parked")
    run.cancel()
    house.restart_engine()
    assert house.status(run) == "cancelled"
    assert house.count(f"cleaned {name}") == 1


def test_many_are_cancelled_at_once_and_a_dry_run_changes_nothing(house: House, name: str) -> None:
    runs = [house.start(waiter, f"{name} {number}") for number in range(20)]
    for run in runs:
        house.wait_status(run, "parked")
    assert house.client.cancel_many(function=waiter, status="parked", dry_run=True).count == 20
    assert {run.status() for run in runs} == {"parked"}
    assert house.client.cancel_many(function=waiter, status="parked").count == 20
    assert {house.status(run) for run in runs} == {"cancelled"}


# -- by an event


@dataclass
class Order:
    name: str
    number: int = 0


Placed = EventType("cancel/placed", Order)
Withdrawn = EventType("cancel/withdrawn", Order)
Closed = EventType("cancel/closed", str)
RULES = (
    CancelOn(Withdrawn, match="name"),
    CancelOn(Withdrawn, where="async.data.name == 'everybody' && async.data.number < event.data.number"),
    CancelOn(Closed, where="async.data == event.data.name", timeout="1h"),
)


@functions.on(Placed, cancel_on=RULES, concurrency=Concurrency(2, key="event.data.name"))
async def ship(ctx: Context[Order]) -> str:
    note("at", ctx.data.name, ctx.data.number)
    try:
        await ctx.step.run("stand", stand_at, ctx.data.name)
    except RunCancelled:
        await ctx.step.run("clean", noted, f"cleaned {ctx.data.name} {ctx.data.number}")
        raise
    return "shipped"


@pytest.mark.every_store
def test_an_event_cancels_the_runs_that_it_matches_running_and_queued(house: House, name: str) -> None:
    runs = house.send(*(Placed(Order(name, number)) for number in range(3)), Placed(Order(f"{name} other")))
    for line in (f"at {name} 0", f"at {name} 1", f"at {name} other 0"):
        house.wait_noted(line)
    house.send(Withdrawn(Order(name)))
    assert [house.status(run) for run in runs[:3]] == ["cancelled"] * 3
    assert [house.count(f"cleaned {name} {number}") for number in range(3)] == [1, 1, 0]
    house.open_gate(f"{name} other")
    assert house.result(runs[3]) == "shipped"


def test_an_event_cancels_by_a_condition_on_both(house: House, name: str) -> None:
    small, large = house.send(Placed(Order(name, 5)), Placed(Order(name, 15)))
    house.wait_noted(f"at {name} 15")
    house.send(Withdrawn(Order("everybody", 10)))
    assert house.status(large) == "cancelled"
    house.open_gate(name)
    assert house.result(small) == "shipped"


def test_an_event_of_the_same_request_behind_the_first_one_counts(house: House, name: str) -> None:
    [run] = house.send(Placed(Order(name)), Withdrawn(Order(name)))
    assert house.status(run) == "cancelled"


def test_a_rule_with_a_timeout_counts_no_longer(house: House, name: str) -> None:
    [run] = house.send(Placed(Order(name)))
    house.wait_noted(f"at {name} 0")
    house.advance(2 * HOUR_MS)
    house.send(Closed(name))
    house.open_gate(name)
    assert house.result(run) == "shipped"


BROKEN = os.environ.get("BROKEN_OPTION_OF_TEST", "")
if BROKEN == "six":
    functions.on(Placed, id="broken", cancel_on=[CancelOn(f"cancel/{number}") for number in range(6)])(ship.fn)
elif BROKEN == "where":
    functions.on(Placed, id="broken", cancel_on=CancelOn(Closed, where="async.data =="))(ship.fn)
elif BROKEN == "match":
    functions.on(Placed, id="broken", cancel_on=CancelOn(Closed, match="a..b"))(ship.fn)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("six", ["cancel/broken", "cancel_on", "5"]),
        ("where", ["cancel/broken", "cancel_on", "cancel/closed"]),
        ("match", ["CancelOn('cancel/closed')", "match"]),
    ],
)
def test_a_wrong_rule_is_refused_when_its_worker_registers(house: House, option: str, said: list[str]) -> None:
    house.environment["BROKEN_OPTION_OF_TEST"] = option
    try:
        words = house.worker_refused(house.app)
    finally:
        house.environment["BROKEN_OPTION_OF_TEST"] = ""
    assert [word for word in [*said, "help:"] if word not in words] == []
    assert "Traceback" not in words
