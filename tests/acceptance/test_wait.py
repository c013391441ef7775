"""Waiting for events: by name, match and condition; from the run's start on; with a timeout, over any crash."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from onward import App, Checkpoint, Context, Event, EventType, Retry, SyncContext

from tests.acceptance.bodies import noted, stand_at
from tests.acceptance.house import House
from tests.support.processes import note

functions = App("wait", retry=Retry(attempts=1))


@dataclass
class Order:
    id: str
    total: int = 0


Placed = EventType("wait/placed", Order)
Paid = EventType("wait/paid", Order)


# -- which event


@functions.on(Placed)
async def ship(ctx: Context[Order]) -> list[Any]:
    paid = await ctx.wait_for_event(Paid, match="id", timeout="1h")
    return [] if paid is None else [type(paid.data).__name__, paid.data.total, paid.name, paid.id]


@pytest.mark.every_store
def test_a_wait_ends_with_the_matching_event_and_its_typed_data(house: House, name: str) -> None:
    [run] = house.send(Placed(Order(name)))
    house.wait_status(run, "parked")
    house.send(Paid(Order("another", 1)))
    house.send(Paid(Order(name, 2), id=f"paid {name}"))
    assert house.result(run) == ["Order", 2, "wait/paid", f"paid {name}"]


@pytest.mark.every_store
def test_the_event_may_come_in_the_same_request_as_the_one_that_starts_the_run(house: House, name: str) -> None:
    [run] = house.send(Placed(Order(name)), Paid(Order(name, 3)))
    assert house.result(run)[1] == 3


def test_the_event_may_come_before_the_code_gets_to_its_wait(house: House, name: str) -> None:
    with house.no_worker():
        [run] = house.send(Placed(Order(name)))
        house.send(Paid(Order(name, 4)))
    assert house.result(run)[1] == 4


def test_an_event_from_before_the_run_does_not_count(house: House, name: str) -> None:
    house.send(Paid(Order(name, 5)))
    [run] = house.send(Placed(Order(name)))
    house.wait_status(run, "parked")
    house.send(Paid(Order(name, 6)))
    assert house.result(run)[1] == 6


def test_many_runs_that_wait_for_one_event_all_get_it(house: House, name: str) -> None:
    runs = house.send(*(Placed(Order(name)) for _ in range(20)))
    for run in runs:
        house.wait_status(run, "parked")
    house.send(Paid(Order(name, 7)))
    assert {house.result(run)[1] for run in runs} == {7}


@functions.function(Order)
async def condition(ctx: Context[Order]) -> int:
    where = "async.data.total > event.data.total && async.data.id.startsWith(event.data.id)"
    paid = await ctx.wait_for_event(Paid, where=where)
    return paid.data.total if paid else -1


def test_a_condition_may_compare_the_event_with_the_runs_own(house: House, name: str) -> None:
    run = house.start(condition, Order(name, 10))
    house.wait_status(run, "parked")
    house.send(Paid(Order(f"{name} 1", 10)), Paid(Order("other", 99)), Paid(Order(f"{name} 2", 11)))
    assert house.result(run) == 11


@functions.function(str)
async def wrong_condition(ctx: Context[str]) -> None:
    await ctx.wait_for_event(Paid, where="async.data.total >")


@functions.function(str)
async def beside_wrong_condition(ctx: Context[str]) -> bool:
    return await ctx.wait_for_event(Paid, where=f"async.data.id == '{ctx.data}'") is not None


@pytest.mark.every_store
def test_an_invalid_condition_fails_its_run_with_the_reason_and_hurts_no_other_wait(house: House, name: str) -> None:
    beside = house.start(beside_wrong_condition, name)
    house.wait_status(beside, "parked")
    error = house.failure(house.start(wrong_condition, name))
    assert "async.data.total >" in str(error) or "wait/paid" in str(error)
    house.send(Paid(Order(name)))
    assert house.result(beside) is True


@functions.function(str)
async def dividing(ctx: Context[str]) -> int:
    paid = await ctx.wait_for_event(Paid, where=f"async.data.id == '{ctx.data}' && 10 / async.data.total == 2")
    return paid.data.total if paid else -1


def test_an_event_that_a_condition_cannot_be_asked_about_is_passed_over_and_logged(house: House, name: str) -> None:
    run = house.start(dividing, name)
    house.wait_status(run, "parked")
    house.send(Paid(Order(name, 0)))
    house.send(Paid(Order(name, 5)))
    assert house.result(run) == 5
    assert "a division by zero" in house.log("engine")


@functions.function(Order)
async def wrong_path(ctx: Context[Order]) -> None:
    await ctx.wait_for_event(Paid, match="id..x")


def test_a_match_that_is_no_path_fails_the_run_and_names_the_option(house: House, name: str) -> None:
    error = house.failure(house.start(wrong_path, Order(name)))
    assert "ctx.wait_for_event('wait/paid'), option 'match'" in str(error)


# -- one after another


@functions.function(Order)
async def three_in_a_row(ctx: Context[Order]) -> list[int]:
    found: list[int] = []
    for _ in range(3):
        paid = await ctx.wait_for_event(Paid, match="id")
        found.append(paid.data.total if paid else -1)
    return found


def test_waits_one_after_another_take_one_event_each_in_their_order(house: House, name: str) -> None:
    run = house.start(three_in_a_row, Order(name))
    house.wait_status(run, "parked")
    house.send(*(Paid(Order(name, number)) for number in (1, 2)))
    house.send(Paid(Order(name, 3)))
    assert house.result(run) == [1, 2, 3]


Again = EventType("wait/again", str)


@functions.on(Again)
async def wait_for_its_own_kind(ctx: Context[str]) -> str:
    again = await ctx.wait_for_event(Again, where="async.data == event.data")
    return again.id if again else ""


def test_a_run_does_not_take_the_event_that_started_it(house: House, name: str) -> None:
    [run] = house.send(Again(name))
    house.wait_status(run, "parked")
    house.send(Again(name, id=f"second {name}"))
    assert house.result(run) == f"second {name}"


@functions.function(str)
async def from_now_on(ctx: Context[str]) -> int:
    await ctx.step.run("stand", stand_at, ctx.data)
    paid = await ctx.wait_for_event(Paid, where=f"async.data.id == '{ctx.data}'", lookback=False)
    return paid.data.total if paid else -1


def test_without_look_back_only_what_comes_from_now_on_counts(house: House, name: str) -> None:
    run = house.start(from_now_on, name)
    house.send(Paid(Order(name, 1)))
    house.open_gate(name)
    house.wait_status(run, "parked")
    house.send(Paid(Order(name, 2)))
    assert house.result(run) == 2


# -- several at once


@functions.function(Order)
async def all_of_them(ctx: Context[Order]) -> list[str]:
    both = await asyncio.gather(ctx.wait_for_event(Paid, match="id"), ctx.wait_for_event("wait/packed", match="id"))
    return [one.name for one in both if one]


def test_several_waits_at_once_each_get_their_event(house: House, name: str) -> None:
    run = house.start(all_of_them, Order(name))
    house.wait_status(run, "parked")
    house.send(Event("wait/packed", {"id": name}), Paid(Order(name)))
    assert house.result(run) == ["wait/paid", "wait/packed"]


@functions.function(Order, checkpoint=Checkpoint.OFF)
async def any_of_them(ctx: Context[Order]) -> str:
    packed = ctx.wait_for_event("wait/packed", match="id")
    winner = await ctx.race(paid=ctx.wait_for_event(Paid, match="id"), packed=packed)
    await ctx.step.run("after", noted, f"after {ctx.data.id}")
    return winner.name


def test_the_first_of_several_waits_wins_and_the_others_are_closed(house: House, name: str) -> None:
    run = house.start(any_of_them, Order(name))
    house.wait_status(run, "parked")
    house.send(Event("wait/packed", {"id": name}))
    assert house.result(run) == "packed"
    assert sorted(line.status for line in house.steps(run) if "wait" in line.key) == ["closed", "completed"]


# -- timeouts


@functions.function(str)
async def short(ctx: Context[str]) -> list[Any]:
    paid = await ctx.wait_for_event(Paid, where=f"async.data.id == '{ctx.data}'", timeout="50ms")
    return [paid, await ctx.step.run("after", noted, f"after {ctx.data}")]


@pytest.mark.every_store
def test_a_wait_whose_time_is_over_gives_none_and_the_run_goes_on(house: House, name: str) -> None:
    run = house.start(short, name)
    assert house.result(run) == [None, f"after {name}"]
    assert house.steps(run)[0].status == "timed out"


@functions.function(str)
async def too_long(ctx: Context[str]) -> None:
    await ctx.wait_for_event(Paid, timeout="367d")


def test_more_than_366_days_are_refused_by_name(house: House, name: str) -> None:
    error = house.failure(house.start(too_long, name))
    assert "ctx.wait_for_event('wait/paid')" in str(error)
    assert "timeout" in str(error)


# -- over crashes


@functions.function(Order)
async def remember(ctx: Context[Order]) -> int:
    paid = await ctx.wait_for_event(Paid, match="id")
    note("got", ctx.data.id, paid.data.total if paid else -1)
    last = await ctx.wait_for_event("wait/packed", match="id")
    return paid.data.total if paid and last else -1


@pytest.mark.every_store
def test_a_waiting_run_survives_the_end_of_worker_and_engine(house: House, name: str) -> None:
    run = house.start(remember, Order(name))
    house.wait_status(run, "parked")
    house.send(Paid(Order(name, 8)))
    house.wait_noted(f"got {name} 8")
    house.wait_status(run, "parked")
    house.kill_worker()
    house.restart_engine()
    house.start_worker()
    house.send(Event("wait/packed", {"id": name}))
    assert (house.result(run), house.lines(f"got {name} ")) == (8, ["8"])


def test_an_event_that_comes_while_no_worker_is_there_is_not_lost(house: House, name: str) -> None:
    run = house.start(remember, Order(name))
    house.wait_status(run, "parked")
    with house.no_worker():
        house.send(Paid(Order(name, 9)), Event("wait/packed", {"id": name}))
    assert house.result(run) == 9


@functions.function(Order)
def blocking(ctx: SyncContext[Order]) -> int:
    paid = ctx.wait_for_event(Paid, match="id")
    return paid.data.total if paid else -1


def test_a_blocking_function_waits_alike(house: House, name: str) -> None:
    run = house.start(blocking, Order(name))
    house.wait_status(run, "parked")
    house.send(Paid(Order(name, 10)))
    assert house.result(run) == 10
