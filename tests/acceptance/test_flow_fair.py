"""Fair: each value of a key gets its share of the starts, however much another one has queued."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from onward import App, Concurrency, Context, EventType, Fair

from tests.acceptance.flow import Job, Line, ends, lines, stand, stay, wait_inside
from tests.acceptance.house import House

functions = App("fair")
WEIGHTS = {"heavy": 3, "light": 1}


async def work(job: Job) -> int:
    return await stand(job) if job.key == "held" else await stay(job)


Asked = EventType("fair/asked", Job)


@functions.on(Asked, fair=Fair("event.data.key"), concurrency=Concurrency(1, key="event.data.name"))
async def asked(ctx: Context[Job]) -> int:
    return await work(ctx.data)


def starts(house: House, name: str, event: EventType[Job], *jobs: Job) -> list[Line]:
    """Queue jobs while one run is inside; return the starts behind it, in their order."""
    runs = house.send(event(Job(name, "held", -1)))
    wait_inside(house, name, 1)
    runs += house.send(*map(event, jobs))
    house.open_gate(f"{name} held")
    assert ends(house, runs) == {"completed": len(runs)}
    return [line for line in lines(house, name) if line.verb == "in"][1:]


def many(name: str, key: str, count: int) -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


@pytest.mark.replicas
def test_a_single_run_does_not_wait_for_all_that_another_tenant_has_queued(house: House, name: str) -> None:
    found = starts(house, name, Asked, *many(name, "noisy", 60), Job(name, "quiet"))
    assert "quiet" in {line.key for line in found[:2]}


@pytest.mark.replicas
def test_tenants_take_turns_while_each_has_something_to_do(house: House, name: str) -> None:
    found = starts(house, name, Asked, *many(name, "a", 20), *many(name, "b", 10), *many(name, "c", 5))
    keys = [line.key for line in found]
    assert all(Counter(keys[first : first + 3]) == {"a": 1, "b": 1, "c": 1} for first in range(0, 15, 3))
    assert keys[25:] == ["a"] * 10


@pytest.mark.replicas
def test_each_tenants_own_runs_keep_their_order(house: House, name: str) -> None:
    found = starts(house, name, Asked, *many(name, "a", 12), *many(name, "b", 12))
    for key in "ab":
        assert [line.number for line in found if line.key == key] == list(range(12))


def test_who_comes_late_gets_its_share_from_then_on_and_not_what_it_has_missed(house: House, name: str) -> None:
    runs = house.send(*map(Asked, many(name, "early", 10)))
    house.until(lambda: len(lines(house, name)) >= 2, "the first ones have begun")
    more = [*many(name, "late", 10), *(Job(name, "early", number) for number in range(10, 30))]
    runs += house.send(*map(Asked, more))
    assert ends(house, runs) == {"completed": 40}
    keys = [line.key for line in lines(house, name) if line.verb == "in"]
    turns = keys[keys.index("late") :][:20]
    assert max(sum(key == "late" for key in turns[:count]) - (count + 1) // 2 for count in range(1, 19)) <= 1


Weighted = EventType("fair/weighted", dict[str, Any])


@functions.on(
    Weighted,
    fair=Fair("event.data.key", weight="event.data.weight"),
    concurrency=Concurrency(1, key="event.data.name"),
)
async def weighted(ctx: Context[dict[str, Any]]) -> int:
    return await work(Job(ctx.data["name"], ctx.data["key"]))


@pytest.mark.replicas
def test_a_weight_is_how_many_turns_a_tenant_has(house: House, name: str) -> None:
    runs = house.send(Weighted({"name": name, "key": "held", "weight": 1}))
    wait_inside(house, name, 1)
    tenants = [tenant for tenant in WEIGHTS for _ in range(24)]
    runs += house.send(*(Weighted({"name": name, "key": key, "weight": WEIGHTS[key]}) for key in tenants))
    house.open_gate(f"{name} held")
    assert ends(house, runs) == {"completed": 49}
    keys = [line.key for line in lines(house, name) if line.verb == "in"][1:]
    for count in range(4, 33, 4):
        assert abs(keys[:count].count("light") - count / 4) <= 1
