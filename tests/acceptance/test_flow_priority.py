"""Priority: a number moves a run forward or back in its queue by so many seconds; an urgent one goes before all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from onward import App, Concurrency, Context, EventType, Priority

from tests.acceptance.flow import HOUR_MS, MINUTE_MS, SECOND_MS, Job, came_in, ends, in_order, stand, stay, wait_inside
from tests.acceptance.house import House

functions = App("priority")
hurried = App("priority-hurried")


@dataclass
class Ranked(Job):
    """A job with a priority."""

    rank: Any = 0


Asked = EventType("priority/asked", Ranked)


@functions.on(Asked, priority=Priority("event.data.rank"), concurrency=Concurrency(1, key="event.data.name"))
async def asked(ctx: Context[Ranked]) -> int:
    return await stand(ctx.data) if ctx.data.key == "held" else await stay(ctx.data)


def queued_behind_one(house: House, name: str, *ranks: Any, after_ms: int = 0) -> list[Any]:
    """Send events with these priorities while one run is inside; return the priorities in the order of the starts.
    Between two events so much time passes.
    """
    runs = house.send(Asked(Ranked(name, "held", -1)))
    wait_inside(house, name, 1)
    for number, rank in enumerate(ranks):
        if after_ms:
            house.advance(after_ms)
        runs += house.send(Asked(Ranked(name, number=number, rank=rank)))
    house.open_gate(f"{name} held")
    return [ranks[number] for number in in_order(house, name, runs)[1:]]


@pytest.mark.replicas
def test_the_higher_number_is_first(house: House, name: str) -> None:
    assert queued_behind_one(house, name, 0, 300, -300, 599, 100.5) == [599, 300, 100.5, 0, -300]


@pytest.mark.replicas
def test_who_has_the_same_number_keeps_the_order_of_the_events(house: House, name: str) -> None:
    runs = house.send(Asked(Ranked(name, "held", -1)))
    wait_inside(house, name, 1)
    runs += [house.send(Asked(Ranked(name, number=number, rank=number % 2 * 60)))[0] for number in range(10)]
    house.open_gate(f"{name} held")
    assert in_order(house, name, runs) == [-1, 1, 3, 5, 7, 9, 0, 2, 4, 6, 8]


def test_a_number_is_a_head_start_of_so_many_seconds_and_no_more(house: House, name: str) -> None:
    assert queued_behind_one(house, name, 0, 60, 250, after_ms=100 * SECOND_MS) == [250, 0, 60]


def test_no_number_counts_for_more_than_ten_minutes(house: House, name: str) -> None:
    assert queued_behind_one(house, name, 0, 1_000_000, after_ms=11 * MINUTE_MS) == [0, 1_000_000]
    assert queued_behind_one(house, f"{name}-back", -1_000_000, 0, after_ms=11 * MINUTE_MS) == [-1_000_000, 0]


@pytest.mark.replicas
def test_an_urgent_run_goes_before_all_that_wait(house: House, name: str) -> None:
    assert queued_behind_one(house, name, 600, 0, "urgent", 500, "urgent") == ["urgent", "urgent", 600, 500, 0]


def test_an_urgent_run_starts_next_however_many_have_waited_an_hour(house: House, name: str) -> None:
    house.send(Asked(Ranked(name, "held", -1)))
    wait_inside(house, name, 1)
    house.send(*(Asked(Ranked(name, number=number, rank=600)) for number in range(1_000)))
    house.advance(HOUR_MS)
    [urgent] = house.send(Asked(Ranked(name, number=-2, rank="urgent")))
    house.open_gate(f"{name} held")
    assert house.result(urgent) == -2
    wait_inside(house, name, 3)
    assert came_in(house, name)[:3] == [-1, -2, 0]
    house.client.cancel_many(function=asked, status="queued")


def test_a_priority_that_cannot_be_read_harms_nobody_else(house: House, name: str) -> None:
    runs = house.send(Asked(Ranked(name, number=0, rank={"not": "a number"})), Asked(Ranked(name, number=1)))
    assert house.result(runs[-1]) == 1


# -- between functions: a worker with one slot


Common, Hurried = EventType("priority/common", Ranked), EventType("priority/hurried", Ranked)


@hurried.on(Common)
async def common(ctx: Context[Ranked]) -> int:
    return await stand(ctx.data) if ctx.data.key == "held" else await stay(ctx.data)


@hurried.on(Hurried, priority=Priority("event.data.rank"))
async def in_a_hurry(ctx: Context[Ranked]) -> int:
    return await stay(ctx.data)


def test_an_urgent_run_gets_the_next_free_slot_before_older_runs_of_other_functions(house: House, name: str) -> None:
    house.start_worker("one-slot", "tests.acceptance.test_flow_priority:hurried", "--concurrency", "1")
    runs = house.send(Common(Ranked(name, "held", 0)))
    wait_inside(house, name, 1)
    runs += house.send(*(Common(Ranked(name, number=number)) for number in (1, 2)))
    runs += house.send(Hurried(Ranked(name, number=3, rank=600)), Hurried(Ranked(name, number=4, rank="urgent")))
    house.open_gate(f"{name} held")
    assert in_order(house, name, runs) == [0, 4, 1, 2, 3]
    house.kill_worker("one-slot")
    assert ends(house, runs) == {"completed": 5}


Scarce = EventType("priority/scarce", Ranked)


@hurried.on(Scarce, priority=Priority("event.data.rank"), concurrency=Concurrency(100))
async def scarce(ctx: Context[Ranked]) -> int:
    return await stand(ctx.data) if ctx.data.key == "held" else await stay(ctx.data)


def test_an_urgent_run_goes_before_those_that_wait_only_for_a_slot(house: House, name: str) -> None:
    house.start_worker("one-slot", "tests.acceptance.test_flow_priority:hurried", "--concurrency", "1")
    runs = house.send(Scarce(Ranked(name, "held", 0)))
    wait_inside(house, name, 1)
    runs += [house.send(Scarce(Ranked(name, number=number)))[0] for number in (1, 2, 3)]
    runs += house.send(Scarce(Ranked(name, number=4, rank="urgent")))
    house.open_gate(f"{name} held")
    assert in_order(house, name, runs) == [0, 4, 1, 2, 3]
    house.kill_worker("one-slot")
