"""Singleton: one run at a time of each key; a newcomer is skipped, or takes the place of the older one."""

from __future__ import annotations

import pytest
from onward import App, Context, EventType, Retry, Singleton

from tests.acceptance.flow import (
    HOUR_MS,
    Job,
    came_in,
    ends,
    inside,
    lines,
    most_inside,
    replace_worker_of,
    send_at_once,
    send_each,
    stand,
    wait_inside,
    workers_of,
)
from tests.acceptance.house import House

functions = App("singleton", retry=Retry(attempts=1))


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


Skipping = EventType("singleton/skipping", Job)


@functions.on(Skipping, singleton=Singleton(key="[event.data.name, event.data.key]", mode="skip"))
async def skipping(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_of_fifty_at_once_exactly_one_runs(house: House, name: str) -> None:
    runs = send_at_once(house, [Skipping(job) for job in jobs(name, 50)])
    wait_inside(house, name, 1)
    house.open_gate(f"{name} -")
    assert ends(house, runs) == {"completed": 1, "skipped": 49}
    assert len(came_in(house, name)) == 1


def test_of_fifty_in_one_request_the_first_one_runs(house: House, name: str) -> None:
    house.open_gate(f"{name} -")
    runs = house.send(*map(Skipping, jobs(name, 50)))
    assert [house.status(run) for run in runs] == ["completed"] + ["skipped"] * 49


def test_a_skipped_run_says_why(house: House, name: str) -> None:
    first, second = send_each(house, Skipping, jobs(name, 2))
    why = house.view(second.id)["skip_reason"]
    assert "'singleton'" in why
    assert first.id in why
    house.open_gate(f"{name} -")
    assert house.result(first) == 0


@pytest.mark.replicas
def test_each_key_has_one_of_its_own(house: House, name: str) -> None:
    runs = send_each(house, Skipping, [Job(name, f"key-{number % 3}", number) for number in range(6)])
    for key in range(3):
        house.open_gate(f"{name} key-{key}")
    assert [house.status(run) for run in runs] == ["completed"] * 3 + ["skipped"] * 3


def test_when_it_is_over_the_next_one_runs(house: House, name: str) -> None:
    house.open_gate(f"{name} -")
    for number in range(3):
        [run] = send_each(house, Skipping, [Job(name, number=number)])
        assert house.result(run) == number


@functions.on(EventType("singleton/sleeping", Job), singleton=Singleton(key="event.data.name"))
async def sleeping(ctx: Context[Job]) -> int:
    async with inside(ctx.data):
        await ctx.sleep("1h")
    return ctx.data.number


def test_one_that_sleeps_is_still_the_one(house: House, name: str) -> None:
    event = EventType("singleton/sleeping", Job)
    [first] = send_each(house, event, [Job(name)])
    house.wait_status(first, "parked")
    [second] = send_each(house, event, [Job(name, number=1)])
    assert house.status(second) == "skipped"
    house.advance(HOUR_MS)
    assert house.result(first) == 0


@pytest.mark.replicas
def test_one_whose_worker_dies_is_still_the_one_and_runs_again_alone(house: House, name: str) -> None:
    [first] = send_each(house, Skipping, [Job(name)])
    wait_inside(house, name, 1)
    replace_worker_of(house, workers_of(house, name)[0])
    assert ends(house, send_each(house, Skipping, [Job(name, number=number) for number in (1, 2)])) == {"skipped": 2}
    house.open_gate(f"{name} -")
    assert house.result(first) == 0
    assert (came_in(house, name), most_inside(lines(house, name))) == ([0, 0], 1)


def test_what_is_started_by_hand_is_not_skipped_but_waits_for_its_turn(house: House, name: str) -> None:
    [first] = send_each(house, Skipping, [Job(name)])
    runs = [first, *(house.start(skipping, Job(name, number=number)) for number in (1, 2))]
    wait_inside(house, name, 1)
    house.open_gate(f"{name} -")
    assert [house.result(run) for run in runs] == [0, 1, 2]
    assert most_inside(lines(house, name)) == 1


Replacing = EventType("singleton/replacing", Job)


@functions.on(Replacing, singleton=Singleton(key="event.data.name", mode="cancel"))
async def replacing(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_a_newcomer_takes_the_place_of_the_older_one(house: House, name: str) -> None:
    [older] = send_each(house, Replacing, [Job(name)])
    wait_inside(house, name, 1)
    [newer] = send_each(house, Replacing, [Job(name, number=1)])
    assert house.status(older) == "cancelled"
    house.open_gate(f"{name} -")
    assert house.result(newer) == 1
    assert most_inside(lines(house, name)) == 1


@pytest.mark.replicas
def test_of_many_at_once_the_last_one_succeeds_and_all_others_are_cancelled(house: House, name: str) -> None:
    runs = send_at_once(house, [Replacing(job) for job in jobs(name, 30)])
    house.until(lambda: sum(run.status() != "cancelled" for run in runs) == 1, "all but one are cancelled")
    house.open_gate(f"{name} -")
    assert ends(house, runs) == {"completed": 1, "cancelled": 29}
    found = lines(house, name)
    assert (most_inside(found), [line.verb for line in found].count("out")) == (1, 1)


Tidy = EventType("singleton/tidy", Job)


@functions.on(Tidy, singleton=Singleton(key="event.data.name", mode="cancel"))
async def tidy(ctx: Context[Job]) -> int:
    async with inside(ctx.data):
        try:
            await ctx.sleep("1h")
        finally:
            await ctx.step.run("tidy", stand, Job(f"{ctx.data.name}-tidy", number=ctx.data.number))
    return ctx.data.number


def test_the_newcomer_waits_until_the_older_one_has_cleaned_up(house: House, name: str) -> None:
    [older] = send_each(house, Tidy, [Job(name)])
    house.wait_status(older, "parked")
    [newer] = send_each(house, Tidy, [Job(name, number=1)])
    wait_inside(house, f"{name}-tidy", 1)
    assert (newer.status(), came_in(house, name)) == ("queued", [0])
    house.open_gate(f"{name}-tidy -")
    assert house.status(older) == "cancelled"
    house.wait_status(newer, "parked")
    assert came_in(house, name)[-1] == 1
    newer.cancel()
