"""Debounce: a burst of events becomes one run, when it is quiet again or has taken long enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from onward import App, Context, Debounce, EventType, Timeouts

from tests.acceptance.flow import MINUTE_MS, Job, came_in, ends, inside, send_at_once, send_each, stay
from tests.acceptance.house import House

functions = App("debounce")


@functions.function(str)
async def probe(ctx: Context[str]) -> str:
    """Runs when everything has begun that was sent before and could begin."""
    return ctx.data


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


def begun(house: House, name: str, minutes: int = 0) -> list[int]:
    """Let some time pass and return the numbers of the events with which runs have begun by then."""
    house.advance(minutes * MINUTE_MS)
    house.run(probe, name)
    return came_in(house, name)


Changed = EventType("debounce/changed", Job)


@functions.on(Changed, debounce=Debounce("10m", key="event.data.name", timeout="30m"))
async def changed(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_a_burst_becomes_one_run_with_the_newest_event_when_it_is_quiet(house: House, name: str) -> None:
    runs = send_each(house, Changed, jobs(name, 5))
    assert len({run.id for run in runs}) == 1
    assert (begun(house, name, 9), begun(house, name, 1)) == ([], [4])
    assert house.result(runs[0]) == 4


def test_each_event_begins_the_quiet_time_anew(house: House, name: str) -> None:
    for number in range(3):
        send_each(house, Changed, [Job(name, number=number)])
        assert begun(house, name, 9) == []
    assert begun(house, name, 1) == [2]


def test_events_that_do_not_end_are_cut_off_by_the_timeout(house: House, name: str) -> None:
    seen: list[list[int]] = []
    for number in range(5):
        send_each(house, Changed, [Job(name, number=number)])
        seen.append(begun(house, name, 8))
    assert seen == [[], [], [], [3], [3]]
    assert begun(house, name, 2) == [3, 4]


def test_the_newest_is_the_one_that_happened_last_and_not_the_one_that_came_last(house: House, name: str) -> None:
    now = datetime.fromtimestamp(house.now_ms() / 1000, UTC)
    runs = [
        house.send(Changed(Job(name, number=seconds), ts=now + timedelta(seconds=seconds)))[0]
        for seconds in (-50, -10, -30, -20)
    ]
    assert (begun(house, name, 9), begun(house, name, 1)) == ([], [-10])
    assert ends(house, runs) == {"completed": 4}


def test_an_older_event_that_comes_late_extends_the_quiet_time_and_changes_nothing_else(
    house: House, name: str
) -> None:
    now = datetime.fromtimestamp(house.now_ms() / 1000, UTC)
    house.send(Changed(Job(name, number=1), ts=now))
    house.advance(9 * MINUTE_MS)
    house.send(Changed(Job(name, number=0), ts=now - timedelta(days=1)))
    assert (begun(house, name, 9), begun(house, name, 1)) == ([], [1])


def test_after_it_has_begun_the_next_event_begins_a_new_run(house: House, name: str) -> None:
    [first] = send_each(house, Changed, [Job(name, number=0)])
    assert begun(house, name, 10) == [0]
    [second] = send_each(house, Changed, [Job(name, number=1)])
    assert begun(house, name, 10) == [0, 1]
    assert first.id != second.id


Keyed = EventType("debounce/keyed", Job)


@functions.on(Keyed, debounce=Debounce("10m", key="event.data.key"))
async def keyed(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_each_key_is_quiet_for_itself(house: House, name: str) -> None:
    send_each(house, Keyed, jobs(name, 3, f"{name}-a"))
    house.advance(5 * MINUTE_MS)
    send_each(house, Keyed, [Job(name, f"{name}-b", 9)])
    assert [begun(house, name, minutes) for minutes in (4, 1, 4, 1)] == [[], [2], [2], [2, 9]]


Collected = EventType("debounce/collected", Job)


@functions.on(Collected, debounce=Debounce("2s", key="event.data.name", deliver="all"))
async def collected(ctx: Context[Job]) -> list[int]:
    async with inside(ctx.data):
        return [event.data.number for event in ctx.events]


@pytest.mark.replicas
def test_the_whole_burst_may_be_delivered_in_its_order(house: House, name: str) -> None:
    runs = send_each(house, Collected, jobs(name, 6))
    by_run = {run.id: house.result(run) for run in runs}
    assert list(chain.from_iterable(by_run.values())) == list(range(6))
    assert len(came_in(house, name)) == len(by_run)


@pytest.mark.replicas
def test_events_that_come_at_once_are_each_delivered_once(house: House, name: str) -> None:
    runs = send_at_once(house, [Collected(job) for job in jobs(name, 24)])
    by_run = {run.id: house.result(run) for run in runs}
    assert sorted(chain.from_iterable(by_run.values())) == list(range(24))
    assert len(came_in(house, name)) == len(by_run)


def test_while_nobody_can_take_it_a_run_that_is_due_still_takes_newer_events(house: House, name: str) -> None:
    with house.no_worker():
        [first] = send_each(house, Changed, [Job(name, number=0)])
        house.advance(10 * MINUTE_MS)
        [again] = send_each(house, Changed, [Job(name, number=1)])
    house.advance(10 * MINUTE_MS)
    assert (house.result(first), first.id == again.id, came_in(house, name)) == (1, True, [1])


def test_a_killed_engine_forgets_neither_the_events_nor_when_it_is_quiet(house: House, name: str) -> None:
    send_each(house, Changed, jobs(name, 3))
    house.advance(5 * MINUTE_MS)
    house.restart_engine()
    assert (begun(house, name, 4), begun(house, name, 1)) == ([], [2])


def test_it_can_be_seen_and_cancelled_while_it_gathers(house: House, name: str) -> None:
    [run] = send_each(house, Changed, [Job(name)])
    assert run.id in {one.id for one in house.client.list_runs(function=changed).runs}
    run.cancel()
    assert (house.status(run), begun(house, name, 10)) == ("cancelled", [])
    [next_one] = send_each(house, Changed, [Job(name, number=1)])
    assert begun(house, name, 10) == [1]
    assert next_one.id != run.id


def test_a_paused_function_gathers_on_and_runs_when_it_is_resumed(house: House, name: str) -> None:
    house.client.pause_function(changed)
    runs = send_each(house, Changed, jobs(name, 3))
    assert begun(house, name, 10) == []
    house.client.resume_function(changed)
    assert (house.result(runs[0]), came_in(house, name)) == (2, [2])


Timely = EventType("debounce/timely", Job)


@functions.on(Timely, debounce=Debounce("1h", key="event.data.name"), timeouts=Timeouts(start="1m"))
async def timely(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def test_a_burst_is_not_late_while_it_goes_on(house: House, name: str) -> None:
    [run] = send_each(house, Timely, jobs(name, 1))
    assert begun(house, name, 59) == []
    assert begun(house, name, 1) == [0]
    assert house.status(run) == "completed"
