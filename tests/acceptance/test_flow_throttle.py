"""Throttle: starts are spread over time, in their order; none is lost, and what has started is not slowed down."""

from __future__ import annotations

from itertools import pairwise

import pytest
from onward import App, Concurrency, Context, EventType, Throttle, Timeouts

from tests.acceptance.flow import HOUR_MS, MINUTE_MS, Job, came_in, ends, in_order, send_at_once, send_each, stay
from tests.acceptance.house import House

functions = App("throttle")


@functions.function(str)
async def probe(ctx: Context[str]) -> str:
    """Runs when everything has begun that was sent before and could begin."""
    return ctx.data


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


def begun(house: House, name: str, minutes: int = 0) -> int:
    """Let some time pass and return how many have begun by then."""
    house.advance(minutes * MINUTE_MS)
    house.run(probe, name)
    return len(came_in(house, name))


Even = EventType("throttle/even", Job)


@functions.on(Even, throttle=Throttle(6, "1h", key="event.data.name"))
async def even(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_the_runs_of_a_burst_begin_one_after_the_other_at_equal_distances(house: House, name: str) -> None:
    runs = send_each(house, Even, jobs(name, 5))
    assert [begun(house, name, minutes) for minutes in (0, 9, 1, 9, 1, 10, 10)] == [1, 1, 2, 2, 3, 4, 5]
    assert in_order(house, name, runs) == list(range(5))


def test_time_without_a_start_saves_nothing_up(house: House, name: str) -> None:
    assert ends(house, send_each(house, Even, jobs(name, 1))) == {"completed": 1}
    house.advance(5 * HOUR_MS)
    send_each(house, Even, jobs(name, 3))
    assert [begun(house, name, minutes) for minutes in (0, 9, 1, 10)] == [2, 2, 3, 4]


Bursty = EventType("throttle/bursty", Job)


@functions.on(Bursty, throttle=Throttle(6, "1h", burst=3, key="event.data.name"))
async def bursty(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_with_a_burst_so_many_begin_at_once_and_the_rest_at_equal_distances(house: House, name: str) -> None:
    runs = send_each(house, Bursty, jobs(name, 6))
    assert [begun(house, name, minutes) for minutes in (0, 9, 1, 9, 1, 10)] == [3, 3, 4, 4, 5, 6]
    assert in_order(house, name, runs) == list(range(6))


def test_after_a_quiet_time_the_whole_burst_is_there_again_and_no_more(house: House, name: str) -> None:
    send_each(house, Bursty, jobs(name, 3))
    assert begun(house, name) == 3
    house.advance(24 * HOUR_MS)
    send_each(house, Bursty, jobs(name, 5))
    assert [begun(house, name, minutes) for minutes in (0, 9, 1, 10)] == [6, 6, 7, 8]


Keyed = EventType("throttle/keyed", Job)


@functions.on(Keyed, throttle=Throttle(1, "1h", key="event.data.key"))
async def keyed(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_each_key_has_a_pace_of_its_own(house: House, name: str) -> None:
    runs = send_each(house, Keyed, [Job(name, f"{name}-{number % 3}", number) for number in range(6)])
    assert ends(house, runs[:3]) == {"completed": 3}
    house.run(probe, name)
    assert [run.status() for run in runs[3:]] == ["queued"] * 3


Crowded = EventType("throttle/crowded", Job)


@functions.on(
    Crowded,
    throttle=Throttle(1, "1h", key="event.data.key"),
    concurrency=Concurrency(2, key="event.data.name"),
)
async def crowded(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_who_waits_for_its_turn_keeps_no_place_of_another_limit(house: House, name: str) -> None:
    slow = send_each(house, Crowded, jobs(name, 5, f"{name}-slow"))
    assert house.result(slow[0]) == 0
    [quick] = send_each(house, Crowded, jobs(name, 1, f"{name}-quick"))
    assert house.result(quick) == 0
    assert [run.status() for run in slow[1:]] == ["queued"] * 4


Busy = EventType("throttle/busy", Job)


@functions.on(Busy, throttle=Throttle(1, "1h", key="event.data.name"))
async def busy(ctx: Context[Job]) -> int:
    numbers = [await ctx.step.run("part", stay, Job(ctx.data.name, "-", number)) for number in range(5)]
    await ctx.sleep("1m")
    return sum(numbers)


def test_only_the_start_is_held_back_not_the_steps_nor_a_wake_up(house: House, name: str) -> None:
    [run] = send_each(house, Busy, [Job(name)])
    house.wait_status(run, "parked")
    house.advance(MINUTE_MS)
    assert house.result(run) == 10


Timely = EventType("throttle/timely", Job)


@functions.on(Timely, throttle=Throttle(1, "1h", key="event.data.name"), timeouts=Timeouts(start="30m"))
async def timely(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_who_waits_longer_for_its_turn_than_it_may_is_cancelled_and_uses_up_no_turn(house: House, name: str) -> None:
    first, late = send_each(house, Timely, jobs(name, 2))
    assert house.result(first) == 0
    house.advance(31 * MINUTE_MS)
    assert house.status(late) == "cancelled"
    [third] = send_each(house, Timely, [Job(name, number=2)])
    house.advance(29 * MINUTE_MS)
    assert (house.result(third), came_in(house, name)) == (2, [0, 2])


def test_a_killed_engine_keeps_the_pace_and_loses_nobody(house: House, name: str) -> None:
    runs = send_each(house, Even, jobs(name, 4))
    assert begun(house, name) == 1
    house.restart_engine()
    assert [begun(house, name, minutes) for minutes in (0, 9, 1, 10, 10)] == [1, 1, 2, 3, 4]
    assert in_order(house, name, runs) == list(range(4))


Quick = EventType("throttle/quick", Job)


@functions.on(Quick, throttle=Throttle(20, "1s", key="event.data.name"))
async def quick(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_however_many_engines_hand_out_the_runs_none_begins_too_early(house: House, name: str) -> None:
    runs = send_at_once(house, [Quick(job) for job in jobs(name, 15)])
    assert ends(house, runs) == {"completed": 15}
    started_at_ms = sorted(house.client.get_run(run.id).started_at_ms or 0 for run in runs)
    assert min(after - before for before, after in pairwise(started_at_ms)) >= 50
