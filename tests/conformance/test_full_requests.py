"""Requests of the largest size: all of their events or none, and never twice."""

from __future__ import annotations

import msgspec
from onward_engine.settings import Bounds
from onward_engine.store.port import Accepted, Ingest, NewEvent, Rejected, RunFilter
from onward_engine.store.work.ingest import REMEMBERED_MS

from tests.conformance.driver import Driver, function

MOST = Bounds().events_per_request_max


def request(driver: Driver, *, n: int = MOST, prefix: str = "mine") -> tuple[NewEvent, ...]:
    """Return a request: every tenth event starts a run."""
    return tuple(
        driver.new_event("many.asked" if index % 10 == 0 else "many.noted", {"n": index}, f"{prefix}_{index}")
        for index in range(n)
    )


async def send(driver: Driver, events: tuple[NewEvent, ...]) -> tuple[Accepted, ...]:
    await driver.register(function("many", "many.asked"))
    return await driver.one(Ingest(driver.now, events))


async def count(driver: Driver) -> int:
    """Return how many runs there are."""
    found = await driver.store.runs(RunFilter(function="shop/many", limit=10 * MOST))
    total = len(found.runs)
    while found.next is not None:
        found = await driver.store.runs(RunFilter(function="shop/many", limit=10 * MOST, before=found.next))
        total += len(found.runs)
    return total


async def test_a_full_request_starts_what_it_triggers(driver: Driver) -> None:
    answers = await send(driver, request(driver))
    assert [len(answer.runs) for answer in answers[:11]] == [1, *([0] * 9), 1]
    assert await count(driver) == MOST // 10


async def test_a_full_request_that_is_repeated_changes_nothing(driver: Driver) -> None:
    events = request(driver)
    first = await send(driver, events)
    driver.now += REMEMBERED_MS - 1
    again = await send(driver, events)
    assert [(answer.id, answer.runs) for answer in again] == [(answer.id, answer.runs) for answer in first]
    assert (all(answer.duplicate for answer in again), await count(driver)) == (True, MOST // 10)


async def test_after_a_day_the_same_ids_are_new_events(driver: Driver) -> None:
    events = request(driver, n=20)
    await send(driver, events)
    driver.now += REMEMBERED_MS
    again = await send(driver, events)
    assert (any(answer.duplicate for answer in again), await count(driver)) == (False, 4)


async def test_one_id_of_another_event_keeps_all_out(driver: Driver) -> None:
    await driver.send("many.noted", {"other": True}, "mine_4999")
    answers = await send(driver, request(driver))
    assert [index for index, answer in enumerate(answers) if answer.conflict] == [4999]
    assert await count(driver) == 0
    assert await driver.store.event("mine_0") is None


async def test_one_event_that_cannot_be_stored_keeps_all_out(driver: Driver) -> None:
    *good, last = request(driver)
    bad = msgspec.structs.replace(last, event=msgspec.structs.replace(last.event, key="\ud800"))
    await driver.register(function("many", "many.asked"))
    (outcome,) = await driver.apply(Ingest(driver.now, (*good, bad)))
    assert isinstance(outcome, Rejected)
    assert (await count(driver), await driver.store.event("mine_0")) == (0, None)


async def test_an_id_twice_in_one_request_is_one_event(driver: Driver) -> None:
    events = request(driver, n=10)
    answers = await send(driver, (*events, *events))
    assert [answer.duplicate for answer in answers] == [False] * 10 + [True] * 10
    assert await count(driver) == 1


async def test_a_full_request_of_delayed_events_comes_in_once(driver: Driver) -> None:
    due = driver.now + 1_000
    events = tuple(msgspec.structs.replace(one, due_at_ms=due) for one in request(driver))
    await send(driver, events)
    await send(driver, events)
    driver.now = due
    fired = [await driver.fire() for _ in range(MOST // 1_000 + 1)]
    assert fired == [1_000] * (MOST // 1_000) + [0]
    assert await count(driver) == MOST // 10
