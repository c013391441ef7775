"""Limits that are set while everything runs: they count at once, before the code's, until they are taken back."""

from __future__ import annotations

import pytest
from onward import App, Concurrency, Context, EventType, RateLimit, Throttle
from onward.errors import EngineRefused

from tests.acceptance.flow import HOUR_MS, MINUTE_MS, Job, came_in, ends, in_order, send_each, stand, stay, wait_inside
from tests.acceptance.house import House

functions = App("changes")


@functions.function(str)
async def probe(ctx: Context[str]) -> str:
    """Runs when everything has begun that was sent before and could begin."""
    return ctx.data


def doors(name: str, count: int) -> list[Job]:
    """Return jobs each of which stands at a gate of its own."""
    return [Job(name, f"door-{number}", number) for number in range(count)]


@functions.function(Job, concurrency=Concurrency(1))
async def raised(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


@pytest.mark.replicas
def test_a_limit_that_is_raised_lets_waiters_in_and_one_that_is_lowered_nobody_until_enough_have_left(
    house: House, name: str
) -> None:
    runs = [house.start(raised, job) for job in doors(name, 5)]
    wait_inside(house, name, 1)
    house.client.set_limit(raised, "concurrency:0", 3)
    wait_inside(house, name, 3)
    house.client.set_limit(raised, "concurrency:0", 1)
    for number in range(2):
        house.open_gate(f"{name} door-{number}")
        assert house.result(runs[number]) == number
    house.run(probe, name)
    assert came_in(house, name) == [0, 1, 2]
    for number in range(2, 5):
        house.open_gate(f"{name} door-{number}")
    assert in_order(house, name, runs) == [0, 1, 2, 3, 4]
    house.client.set_limit(raised, "concurrency:0", None)


@functions.function(Job, concurrency=Concurrency(1))
async def kept(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


def test_what_was_set_survives_the_next_worker_and_the_next_engine(house: House, name: str) -> None:
    house.client.set_limit(kept, "concurrency:0", 2)
    house.replace_worker()
    house.restart_engine()
    runs = [house.start(kept, job) for job in doors(name, 4)]
    wait_inside(house, name, 2)
    house.run(probe, name)
    assert came_in(house, name) == [0, 1]
    house.client.set_limit(kept, "concurrency:0", None)
    for number in range(4):
        house.open_gate(f"{name} door-{number}")
    assert in_order(house, name, runs) == [0, 1, 2, 3]


def test_the_code_s_value_and_what_was_set_are_both_shown(house: House) -> None:
    house.client.set_limit(kept, "concurrency:0", 7, by="ann")
    [shown] = house.ask("GET", "/v1/functions/changes%2Fkept")["limits"]
    assert (shown["declared"], shown["override"], shown["limit"], shown["changes"][0]["by"]) == (1, 7, 7, "ann")
    house.client.set_limit(kept, "concurrency:0", None)


Rated = EventType("changes/rated", Job)


@functions.on(Rated, rate_limit=RateLimit(1, "1h"))
async def rated(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_a_rate_limit_can_be_raised_and_lowered(house: House, name: str) -> None:
    jobs = [Job(name, number=number) for number in range(4)]
    assert ends(house, send_each(house, Rated, jobs)) == {"completed": 1, "skipped": 3}
    house.client.set_limit(rated, "rate_limit", 3)
    assert ends(house, send_each(house, Rated, jobs)) == {"completed": 2, "skipped": 2}
    house.client.set_limit(rated, "rate_limit", 1)
    house.advance(HOUR_MS + 1)
    assert ends(house, send_each(house, Rated, jobs)) == {"completed": 1, "skipped": 3}


Throttled = EventType("changes/throttled", Job)


@functions.on(Throttled, throttle=Throttle(1, "1h", key="event.data.name"))
async def throttled(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_a_throttle_can_be_made_faster(house: House, name: str) -> None:
    runs = send_each(house, Throttled, [Job(name, number=number) for number in range(4)])
    assert house.result(runs[0]) == 0
    house.client.set_limit(throttled, "throttle", 6)
    house.advance(HOUR_MS)
    wait_inside(house, name, 2)
    for _ in range(2):
        house.advance(10 * MINUTE_MS)
    assert in_order(house, name, runs) == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_cannot_be_is_refused_and_changes_nothing(house: House, name: str, limit: int) -> None:
    with pytest.raises((EngineRefused, ValueError)) as refused:
        house.client.set_limit(kept, "concurrency:0", limit)
    assert "limit" in str(refused.value)
    with pytest.raises(EngineRefused, match="throttle"):
        house.client.set_limit(kept, "throttle", 1)
    with pytest.raises(EngineRefused, match="nobody"):
        house.client.set_limit("changes/nobody", "concurrency:0", 1)
