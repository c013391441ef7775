"""Concurrency: no more runs are inside than the limit says, whoever dies; the others wait in their order."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from onward import App, Concurrency, Context, EventType, Retry, Timeouts

from tests.acceptance.flow import (
    HOUR_MS,
    Job,
    came_in,
    ends,
    inside,
    lines,
    most_inside,
    replace_worker_of,
    send_each,
    stand,
    stay,
    wait_inside,
    workers_of,
)
from tests.acceptance.house import House

functions = App("crowd", retry=Retry(attempts=1))
others = App("crowd-others", retry=Retry(attempts=1))


@functions.function(str)
async def probe(ctx: Context[str]) -> str:
    """Runs when everything has begun that was sent before and could begin."""
    return ctx.data


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


# -- one limit


Three = EventType("crowd/three", Job)


@functions.on(Three, concurrency=Concurrency(3))
async def three(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_no_more_are_inside_than_the_limit_says_and_as_many_as_it_says(house: House, name: str) -> None:
    runs = send_each(house, Three, jobs(name, 10))
    wait_inside(house, name, 3)
    house.run(probe, name)
    assert len(came_in(house, name)) == 3
    house.open_gate(f"{name} -")
    assert ends(house, runs) == {"completed": 10}
    assert most_inside(lines(house, name)) == 3


Keyed = EventType("crowd/keyed", Job)


@functions.on(Keyed, concurrency=Concurrency(1, key="event.data.key"))
async def keyed(ctx: Context[Job]) -> int:
    return await stand(ctx.data) if ctx.data.key == "held" else await stay(ctx.data)


@pytest.mark.replicas
def test_a_key_that_is_full_keeps_nobody_else_waiting(house: House, name: str) -> None:
    held = send_each(house, Keyed, jobs(name, 3, "held"))
    wait_inside(house, name, 1, "held")
    free = send_each(house, Keyed, [*jobs(name, 3, "free"), *jobs(name, 3, "also-free")])
    assert ends(house, free) == {"completed": 6}
    assert came_in(house, name, "held") == [0]
    house.open_gate(f"{name} held")
    assert ends(house, held) == {"completed": 3}


@pytest.mark.replicas
def test_with_room_for_one_the_runs_of_a_key_begin_in_the_order_of_their_events(house: House, name: str) -> None:
    sent = [Job(name, f"key-{number % 3}", number) for number in range(24)]
    runs = send_each(house, Keyed, sent)
    assert ends(house, runs) == {"completed": 24}
    assert [came_in(house, name, f"key-{key}") for key in range(3)] == [list(range(key, 24, 3)) for key in range(3)]
    assert all(most_inside(lines(house, name), f"key-{key}") == 1 for key in range(3))


def test_the_order_is_kept_among_the_events_of_one_request_too(house: House, name: str) -> None:
    runs = house.send(*(Keyed(job) for job in jobs(name, 20, "together")))
    assert ends(house, runs) == {"completed": 20}
    assert came_in(house, name) == list(range(20))


def test_events_without_the_field_of_the_key_share_one_place(house: House, name: str) -> None:
    runs = house.send(*(NoKey({"name": name, "number": number}) for number in range(4)))
    assert ends(house, runs) == {"completed": 4}
    assert most_inside(lines(house, name)) == 1


NoKey = EventType("crowd/no-key", dict[str, Any])


@functions.on(NoKey, concurrency=Concurrency(1, key="event.data.customer.id"))
async def no_key(ctx: Context[dict[str, Any]]) -> int:
    return await stay(Job(ctx.data["name"], number=ctx.data["number"]))


# -- what a run does while it has a place


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"))
async def napper(ctx: Context[Job]) -> int:
    await ctx.step.run("before", stay, Job(ctx.data.name, "before", ctx.data.number))
    await ctx.sleep("1h")
    return await stay(Job(ctx.data.name, "after", ctx.data.number))


def test_a_run_that_sleeps_gives_its_place_back_and_waits_for_one_when_it_wakes(house: House, name: str) -> None:
    runs = [house.start(napper, Job(name, number=number)) for number in range(4)]
    for run in runs:
        house.wait_status(run, "parked")
    house.advance(HOUR_MS)
    assert ends(house, runs) == {"completed": 4}
    assert [len(came_in(house, name, key)) for key in ("before", "after")] == [4, 4]
    assert most_inside(lines(house, name)) == 1


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name", of="run"))
async def holder(ctx: Context[Job]) -> int:
    async with inside(ctx.data):
        await ctx.sleep("1h")
    return ctx.data.number


def test_with_places_held_by_the_run_a_sleeping_one_keeps_its_place_to_its_end(house: House, name: str) -> None:
    first, second = (house.start(holder, Job(name, number=number)) for number in range(2))
    house.wait_status(first, "parked")
    house.run(probe, name)
    assert (second.status(), came_in(house, name)) == ("queued", [0])
    house.advance(HOUR_MS)
    assert house.result(first) == 0
    house.wait_status(second, "parked")
    house.advance(HOUR_MS)
    assert house.result(second) == 1
    assert most_inside(lines(house, name)) == 1


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"))
async def failing(ctx: Context[Job]) -> int:
    await stay(ctx.data)
    raise ValueError(ctx.data.number)


def test_a_run_that_fails_gives_its_place_to_the_next(house: House, name: str) -> None:
    runs = [house.start(failing, Job(name, number=number)) for number in range(3)]
    assert ends(house, runs) == {"failed": 3}
    assert (came_in(house, name), most_inside(lines(house, name))) == ([0, 1, 2], 1)


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"))
async def one(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_who_is_cancelled_in_the_line_leaves_it_and_who_is_cancelled_inside_makes_room(house: House, name: str) -> None:
    first, second, third = (house.start(one, Job(name, number=number)) for number in range(3))
    wait_inside(house, name, 1)
    second.cancel()
    first.cancel()
    wait_inside(house, name, 2)
    house.open_gate(f"{name} -")
    assert [house.status(run) for run in (first, second, third)] == ["cancelled", "cancelled", "completed"]
    assert came_in(house, name) == [0, 2]


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"), timeouts=Timeouts(start="1m"))
async def impatient(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


def test_who_waits_too_long_in_the_line_is_cancelled_and_who_is_inside_is_not(house: House, name: str) -> None:
    first, second = (house.start(impatient, Job(name, number=number)) for number in range(2))
    wait_inside(house, name, 1)
    house.advance(HOUR_MS)
    assert (house.status(second), first.status()) == ("cancelled", "assigned")
    house.open_gate(f"{name} -")
    assert (house.result(first), came_in(house, name)) == (0, [0])


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"))
async def held(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_who_is_paused_in_the_line_keeps_nobody_behind_waiting(house: House, name: str) -> None:
    first, second, third = (house.start(held, Job(name, number=number)) for number in range(3))
    wait_inside(house, name, 1)
    house.client.pause(second.id)
    house.open_gate(f"{name} -")
    assert [house.result(run) for run in (first, third)] == [0, 2]
    house.client.resume(second.id)
    assert (house.result(second), came_in(house, name)) == (1, [0, 2, 1])


# -- several functions, several limits


App1, App2 = (EventType(f"crowd/app.{number}", Job) for number in (1, 2))
OF_APP = Concurrency(1, key="event.data.name", scope="app")


@functions.on(App1, concurrency=OF_APP)
async def of_app_1(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@functions.on(App2, concurrency=OF_APP)
async def of_app_2(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_functions_of_an_app_share_the_places_of_its_scope(house: House, name: str) -> None:
    runs = [house.send((App1, App2)[number % 2](Job(name, number=number)))[0] for number in range(10)]
    assert ends(house, runs) == {"completed": 10}
    assert most_inside(lines(house, name)) == 1


def test_another_app_has_places_of_its_own(house: House, name: str) -> None:
    with other_worker(house):
        held = house.start(one_of_the_app, Job(name))
        wait_inside(house, name, 1)
        assert house.result(house.start(one_of_the_other_app, Job(name, "other"))) == 0
    house.open_gate(f"{name} -")
    assert house.result(held) == 0


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name", scope="app"))
async def one_of_the_app(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@others.function(Job, concurrency=Concurrency(1, key="event.data.name", scope="app"))
async def one_of_the_other_app(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


Here, There = EventType("crowd/here", Job), EventType("crowd/there", Job)
OF_ALL = Concurrency(2, key="event.data.name", scope="environment")


@functions.on(Here, concurrency=OF_ALL)
async def here(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@others.on(There, concurrency=OF_ALL)
async def there(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_functions_of_all_apps_share_the_places_of_the_environment(house: House, name: str) -> None:
    with other_worker(house):
        runs = [house.send((Here, There)[number % 2](Job(name, number=number)))[0] for number in range(16)]
        assert ends(house, runs) == {"completed": 16}
    assert most_inside(lines(house, name)) == 2


def test_a_function_that_nobody_works_for_takes_no_place_of_the_environment(house: House, name: str) -> None:
    with other_worker(house):
        pass
    idle = [house.send(There(Job(name, number=number)))[0] for number in range(4)]
    assert ends(house, send_each(house, Here, jobs(name, 4))) == {"completed": 4}
    assert {run.status() for run in idle} == {"queued"}
    with other_worker(house):
        assert ends(house, idle) == {"completed": 4}


@contextmanager
def other_worker(house: House) -> Generator[None]:
    house.start_worker("others", "tests.acceptance.test_flow_concurrency:others")
    yield
    house.kill_worker("others")
    house.until(lambda: len(house.client.list_workers()) == 1, "the engine has noticed")


Both = EventType("crowd/both", Job)


@functions.on(Both, concurrency=[Concurrency(3), Concurrency(1, key="event.data.key")])
async def both(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_of_two_limits_both_are_kept(house: House, name: str) -> None:
    runs = send_each(house, Both, [Job(name, f"key-{number % 5}", number) for number in range(30)])
    assert ends(house, runs) == {"completed": 30}
    found = lines(house, name)
    assert most_inside(found) <= 3
    assert [most_inside(found, f"key-{key}") for key in range(5)] == [1] * 5


Part = EventType("crowd/part", Job)


@functions.on(Part, concurrency=[Concurrency(3, key="event.data.name"), Concurrency(1, key="event.data.key")])
async def part(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_who_waits_for_the_one_limit_keeps_nobody_from_the_places_of_the_other(house: House, name: str) -> None:
    runs = send_each(house, Part, [Job(name, f"{name}-full", number) for number in range(5)])
    wait_inside(house, name, 1)
    runs += send_each(house, Part, [Job(name, f"{name}-free", 5)])
    wait_inside(house, name, 1, f"{name}-free")
    for key in ("full", "free"):
        house.open_gate(f"{name} {name}-{key}")
    assert ends(house, runs) == {"completed": 6}


@functions.function(Job, concurrency=Concurrency(1, key="event.data.name"))
async def nested(ctx: Context[Job]) -> int:
    if ctx.data.number:
        return await stay(ctx.data)
    return await ctx.invoke(nested, Job(ctx.data.name, number=1))


def test_who_waits_for_a_run_that_needs_its_place_gives_it_to_that_run(house: House, name: str) -> None:
    assert house.run(nested, Job(name)) == 1


# -- deaths


@pytest.mark.replicas
def test_the_places_of_a_killed_worker_are_used_again_and_never_twice(house: House, name: str) -> None:
    runs = send_each(house, Three, jobs(name, 8))
    wait_inside(house, name, 3)
    pids = workers_of(house, name)
    replace_worker_of(house, pids[0])
    wait_inside(house, name, 3 + pids.count(pids[0]))
    house.open_gate(f"{name} -")
    assert ends(house, runs) == {"completed": 8}
    assert most_inside(lines(house, name)) == 3


@pytest.mark.replicas
def test_a_killed_engine_forgets_no_place_and_lets_nobody_in_besides(house: House, name: str) -> None:
    runs = send_each(house, Three, jobs(name, 8))
    wait_inside(house, name, 3)
    house.restart_engine()
    house.run(probe, name)
    assert came_in(house, name) == [0, 1, 2]
    house.open_gate(f"{name} -")
    assert ends(house, runs) == {"completed": 8}
    assert most_inside(lines(house, name)) == 3
