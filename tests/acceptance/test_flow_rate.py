"""Rate limit: in no window of its period begin more runs than it says; the surplus is skipped, and one can see it."""

from __future__ import annotations

import pytest
from onward import App, Context, EventType, RateLimit

from tests.acceptance.flow import HOUR_MS, MINUTE_MS, Job, came_in, ends, send_at_once, send_each, stay
from tests.acceptance.house import House

functions = App("rate")
Limited = EventType("rate/limited", Job)
STEPS_MIN = (0, 7, 7, 14, 21, 7, 0, 7, 28, 0, 0, 7, 35, 7, 7, 14, 0, 70, 0, 0, 0, 7)
"""No sum of them comes near an hour: what the machine adds does not matter."""


@functions.on(Limited, rate_limit=RateLimit(3, "1h", key="event.data.name"))
async def limited(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


def jobs(name: str, count: int, key: str = "-") -> list[Job]:
    return [Job(name, key, number) for number in range(count)]


@pytest.mark.replicas
def test_so_many_as_the_limit_says_run_and_the_surplus_is_skipped(house: House, name: str) -> None:
    runs = send_each(house, Limited, jobs(name, 7))
    assert ends(house, runs) == {"completed": 3, "skipped": 4}
    assert sorted(came_in(house, name)) == [0, 1, 2]


@pytest.mark.replicas
def test_also_when_all_come_at_once(house: House, name: str) -> None:
    runs = send_at_once(house, [Limited(job) for job in jobs(name, 20)])
    assert ends(house, runs) == {"completed": 3, "skipped": 17}
    assert len(came_in(house, name)) == 3


def test_also_when_they_come_in_one_request(house: House, name: str) -> None:
    runs = house.send(*map(Limited, jobs(name, 9)))
    assert [house.status(run) for run in runs] == ["completed"] * 3 + ["skipped"] * 6


def test_the_window_slides(house: House, name: str) -> None:
    """In every window of an hour there are at most three, and nobody is skipped for whom there was room."""
    expected: list[int] = []
    accepted_min: list[int] = []
    now_min = 0
    for number, step_min in enumerate(STEPS_MIN):
        house.advance(step_min * MINUTE_MS)
        now_min += step_min
        if sum(now_min - before < 60 for before in accepted_min) < 3:
            accepted_min.append(now_min)
            expected.append(number)
        assert set(ends(house, send_each(house, Limited, [Job(name, number=number)]))) <= {"completed", "skipped"}
    assert came_in(house, name) == expected


def test_who_is_skipped_uses_up_nothing(house: House, name: str) -> None:
    for _ in range(4):
        send_each(house, Limited, jobs(name, 4))
        house.advance(14 * MINUTE_MS)
    house.advance(5 * MINUTE_MS)
    assert ends(house, send_each(house, Limited, jobs(name, 4))) == {"completed": 3, "skipped": 1}


def test_a_skipped_run_says_why_and_can_be_found(house: House, name: str) -> None:
    *_, skipped = send_each(house, Limited, jobs(name, 4))
    assert "rate_limit" in house.view(skipped.id)["skip_reason"]
    found = house.client.list_runs(status="skipped", function=limited).runs
    assert skipped.id in {run.id for run in found}


def test_who_waits_for_a_skipped_run_is_told_at_once(house: House, name: str) -> None:
    *_, skipped = send_each(house, Limited, jobs(name, 4))
    assert "RunSkipped" in str(house.failure(skipped))


Keyed = EventType("rate/keyed", Job)


@functions.on(Keyed, rate_limit=RateLimit(1, "1h", key="event.data.key"))
async def keyed(ctx: Context[Job]) -> int:
    return await stay(ctx.data)


@pytest.mark.replicas
def test_each_key_has_a_count_of_its_own(house: House, name: str) -> None:
    runs = send_each(house, Keyed, [Job(name, f"{name}-{number % 4}", number) for number in range(8)])
    assert [house.status(run) for run in runs] == ["completed"] * 4 + ["skipped"] * 4


@functions.function(Job)
async def invoking(ctx: Context[Job]) -> list[int]:
    return [await ctx.invoke(limited, Job(ctx.data.name, number=number)) for number in range(5)]


def test_only_events_are_counted_not_what_is_started_by_code_or_by_hand(house: House, name: str) -> None:
    assert house.run(invoking, Job(name)) == list(range(5))
    assert [house.run(limited, Job(name, number=5)) for _ in range(2)] == [5, 5]
    assert ends(house, send_each(house, Limited, jobs(name, 4))) == {"completed": 3, "skipped": 1}


def test_a_killed_engine_remembers_the_count(house: House, name: str) -> None:
    assert ends(house, send_each(house, Limited, jobs(name, 2))) == {"completed": 2}
    house.restart_engine()
    assert ends(house, send_each(house, Limited, jobs(name, 3))) == {"completed": 1, "skipped": 2}
    house.advance(HOUR_MS + 1)
    assert ends(house, send_each(house, Limited, jobs(name, 3))) == {"completed": 3}
