"""Batch: events are collected into one run, until there are enough of them or the first one has waited long enough."""

from __future__ import annotations

from itertools import chain

import pytest
from onward import App, Batch, Context, EventType
from onward.sync_client import SyncRunHandle

from tests.acceptance.bodies import stand_at
from tests.acceptance.flow import (
    HOUR_MS,
    MINUTE_MS,
    Job,
    came_in,
    ends,
    inside,
    replace_worker_of,
    send_at_once,
    send_each,
    workers_of,
)
from tests.acceptance.house import House

functions = App("batch")


@functions.function(str)
async def probe(ctx: Context[str]) -> str:
    """Runs when everything has begun that was sent before and could begin."""
    return ctx.data


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


def results(house: House, runs: list[SyncRunHandle[list[int]]]) -> list[list[int]]:
    """Return what each of the different runs was given, in the order in which they were made."""
    return [house.result(run) for run in {run.id: run for run in runs}.values()]


Collected = EventType("batch/collected", Job)


@functions.on(Collected, batch=Batch(5, "1h", key="event.data.name"))
async def collected(ctx: Context[Job]) -> list[int]:
    async with inside(ctx.data):
        return [event.data.number for event in ctx.events]


def test_of_eight_events_five_run_at_once_and_three_when_the_time_is_over(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 8))
    assert house.result(runs[0]) == [0, 1, 2, 3, 4]
    house.advance(59 * MINUTE_MS)
    house.run(probe, name)
    assert came_in(house, name) == [0]
    house.advance(MINUTE_MS)
    assert house.result(runs[5]) == [5, 6, 7]
    assert len({run.id for run in runs}) == 2


def test_the_first_event_decides_how_long_it_takes(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 1))
    house.advance(50 * MINUTE_MS)
    runs += send_each(house, Collected, [Job(name, number=1)])
    house.advance(10 * MINUTE_MS)
    assert results(house, runs) == [[0, 1]]


@pytest.mark.replicas
def test_a_request_with_many_events_fills_several_batches(house: House, name: str) -> None:
    runs = house.send(*map(Collected, jobs(name, 15)))
    assert results(house, runs) == [list(range(5)), list(range(5, 10)), list(range(10, 15))]


@pytest.mark.replicas
def test_events_that_come_at_once_fill_each_batch_and_are_each_in_one(house: House, name: str) -> None:
    runs = send_at_once(house, [Collected(job) for job in jobs(name, 30)])
    found = results(house, runs)
    assert [len(numbers) for numbers in found] == [5] * 6
    assert sorted(chain.from_iterable(found)) == list(range(30))


@pytest.mark.replicas
def test_a_killed_engine_loses_no_event_of_a_batch_that_is_not_full(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 3))
    house.restart_engine()
    runs += send_each(house, Collected, [Job(name, number=number) for number in (3, 4)])
    assert results(house, runs) == [[0, 1, 2, 3, 4]]


def test_the_time_goes_on_while_the_engine_is_dead(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 3))
    house.advance(30 * MINUTE_MS)
    house.restart_engine()
    house.advance(30 * MINUTE_MS)
    assert results(house, runs) == [[0, 1, 2]]


Keyed = EventType("batch/keyed", Job)


@functions.on(Keyed, batch=Batch(3, "1h", key="event.data.key"))
async def keyed(ctx: Context[Job]) -> list[int]:
    return [event.data.number for event in ctx.events]


@pytest.mark.replicas
def test_each_key_is_collected_for_itself(house: House, name: str) -> None:
    runs = send_each(house, Keyed, [Job(name, f"{name}-{number % 2}", number) for number in range(6)])
    assert results(house, runs) == [[0, 2, 4], [1, 3, 5]]


Conditional = EventType("batch/conditional", Job)


@functions.on(Conditional, batch=Batch(2, "1h", key="event.data.name", when="event.data.number < 10"))
async def conditional(ctx: Context[Job]) -> list[int]:
    return [event.data.number for event in ctx.events]


def test_an_event_that_is_not_to_be_collected_runs_alone_and_at_once(house: House, name: str) -> None:
    runs = send_each(house, Conditional, [Job(name, number=number) for number in (1, 10, 2)])
    assert results(house, runs) == [[1, 2], [10]]


def test_what_is_started_by_hand_is_not_collected(house: House, name: str) -> None:
    assert house.run(collected, Job(name, number=7)) == [7]


def test_a_batch_that_is_cancelled_takes_its_events_along_and_the_next_one_begins_anew(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 3))
    runs[0].cancel()
    assert ends(house, runs) == {"cancelled": 3}
    runs = send_each(house, Collected, [Job(name, number=number) for number in range(3, 8)])
    assert results(house, runs) == [[3, 4, 5, 6, 7]]


Slow = EventType("batch/slow", Job)


@functions.on(Slow, batch=Batch(3, "1h", key="event.data.name"))
async def slow(ctx: Context[Job]) -> list[int]:
    async with inside(ctx.data):
        await stand_at(ctx.data.name)
        return [event.data.number for event in ctx.events]


@pytest.mark.replicas
def test_a_batch_whose_worker_dies_has_the_same_events_on_the_next_one(house: House, name: str) -> None:
    runs = send_each(house, Slow, jobs(name, 3))
    house.until(lambda: len(came_in(house, name)) == 1, "it has begun")
    replace_worker_of(house, workers_of(house, name)[0])
    house.open_gate(name)
    assert results(house, runs) == [[0, 1, 2]]
    assert came_in(house, name) == [0, 0]


def test_each_event_names_the_run_that_it_went_into(house: House, name: str) -> None:
    house.send(*(Collected(Job(name, number=number), id=f"{name} {number}") for number in range(5)))
    [[first], [last]] = [house.runs_by(f"{name} {number}") for number in (0, 4)]
    assert (first.id, house.result(first)) == (last.id, list(range(5)))


def test_a_batch_of_a_thousand_events(house: House, name: str) -> None:
    runs = house.send(*(Large(Job(name, number=number)) for number in range(1_000)))
    assert results(house, runs) == [list(range(1_000))]


Large = EventType("batch/large", Job)


@functions.on(Large, batch=Batch(1_000, HOUR_MS / 1_000))
async def large(ctx: Context[Job]) -> list[int]:
    return [event.data.number for event in ctx.events]
