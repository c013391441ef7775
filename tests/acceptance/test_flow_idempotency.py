"""Idempotency: one run for each value of a key, as long as it is remembered; whoever comes again is given that run."""

from __future__ import annotations

import pytest
from onward import App, Context, EventType, Idempotency

from tests.acceptance.flow import HOUR_MS, Job, came_in, ends, send_at_once, send_each, stand, stay, wait_inside
from tests.acceptance.house import House

functions = App("idempotency")
Paid = EventType("idempotency/paid", Job)


@functions.on(Paid, idempotency=Idempotency("[event.data.name, event.data.key]"))
async def paid(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


@pytest.mark.replicas
def test_whoever_comes_again_starts_nothing_and_is_given_the_first_run(house: House, name: str) -> None:
    runs = send_each(house, Paid, jobs(name, 3))
    assert {house.result(run) for run in runs} == {0}
    again = send_each(house, Paid, jobs(name, 1))
    assert {run.id for run in (*runs, *again)} == {runs[0].id}
    assert came_in(house, name) == [0]


@pytest.mark.replicas
def test_of_many_at_once_exactly_one_runs_and_all_are_given_it(house: House, name: str) -> None:
    runs = send_at_once(house, [Paid(job) for job in jobs(name, 40)])
    assert len({run.id for run in runs}) == 1
    assert ends(house, runs) == {"completed": 40}
    assert len(came_in(house, name)) == 1


def test_also_when_they_come_in_one_request(house: House, name: str) -> None:
    runs = house.send(*map(Paid, jobs(name, 10)))
    assert {house.result(run) for run in runs} == {0}
    assert came_in(house, name) == [0]


@pytest.mark.replicas
def test_each_value_of_the_key_has_a_run_of_its_own(house: House, name: str) -> None:
    runs = send_each(house, Paid, [Job(name, f"key-{number % 3}", number) for number in range(6)])
    assert [house.result(run) for run in runs] == [0, 1, 2, 0, 1, 2]


def test_it_is_remembered_for_a_day_and_not_for_longer(house: House, name: str) -> None:
    [first] = send_each(house, Paid, [Job(name, number=0)])
    house.advance(24 * HOUR_MS - HOUR_MS)
    [second] = send_each(house, Paid, [Job(name, number=1)])
    house.advance(HOUR_MS)
    [third] = send_each(house, Paid, [Job(name, number=2)])
    assert [house.result(run) for run in (first, second, third)] == [0, 0, 2]


Short = EventType("idempotency/short", Job)


@functions.on(Short, idempotency=Idempotency("event.data.name", ttl="1h"))
async def short(ctx: Context[Job]) -> int:
    return await stand(ctx.data)


def test_the_time_counts_from_the_first_event_whether_or_not_the_run_is_over(house: House, name: str) -> None:
    [first] = send_each(house, Short, [Job(name, number=0)])
    wait_inside(house, name, 1)
    house.advance(HOUR_MS + 1)
    [second] = send_each(house, Short, [Job(name, number=1)])
    house.open_gate(f"{name} -")
    assert [house.result(run) for run in (first, second)] == [0, 1]


@pytest.mark.replicas
def test_a_killed_engine_remembers_it(house: House, name: str) -> None:
    [first] = send_each(house, Paid, [Job(name)])
    assert house.result(first) == 0
    house.restart_engine()
    [second] = send_each(house, Paid, [Job(name, number=1)])
    assert (second.id, came_in(house, name)) == (first.id, [0])


def test_a_later_event_names_the_run_that_it_joined(house: House, name: str) -> None:
    for number in range(2):
        house.send(Paid(Job(name, number=number), id=f"{name} {number}"))
    first, second = (house.runs_by(f"{name} {number}") for number in range(2))
    assert [run.id for run in first] == [run.id for run in second]


def test_what_is_started_by_hand_always_runs(house: House, name: str) -> None:
    assert ends(house, send_each(house, Paid, [Job(name, number=0)])) == {"completed": 1}
    assert [house.run(paid, Job(name, number=number)) for number in (1, 2)] == [1, 2]
