"""Which ticks of a schedule are fired, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import pytest
from onward_engine.rules import schedules
from onward_engine.rules.schedules import CATCH_UP_MAX, FIRED_MAX, LATE_MS, Plan
from onward_protocol.messages import FunctionManifest, Schedule

MINUTE, HOUR = 60_000, 3_600_000
NOON = round(datetime(2026, 5, 5, 12, tzinfo=UTC).timestamp() * 1000)
HOURLY = Schedule("@hourly")


def plan(schedule: Schedule = HOURLY, next_at_ms: int = NOON) -> Plan:
    return Plan(schedule, next_at_ms)


def caught_up(policy: Literal["none", "last", "all"], expression: str = "@hourly") -> Schedule:
    return Schedule(expression, catch_up=policy)


def test_a_tick_is_fired_when_it_is_due_and_the_next_one_is_planned() -> None:
    assert schedules.due("shop/f", plan(), NOON - 1) == schedules.Due((), NOON)
    assert schedules.due("shop/f", plan(), NOON) == schedules.Due((NOON,), NOON + HOUR)


def test_a_paused_schedule_has_no_ticks() -> None:
    assert schedules.due("shop/f", schedules.paused(plan()), NOON + 9 * HOUR) == schedules.Due((), None)
    assert schedules.resumed(schedules.paused(plan()), NOON + 5).next_at_ms == NOON + HOUR


@pytest.mark.parametrize("policy", ["none", "last", "all"])
def test_a_tick_that_is_a_little_late_is_not_missed(policy: Literal["none", "last", "all"]) -> None:
    due = schedules.due("shop/f", plan(caught_up(policy)), NOON + LATE_MS)
    assert due == schedules.Due((NOON,), NOON + HOUR)


@pytest.mark.parametrize(
    ("policy", "ticks", "missed", "late"),
    [("none", (), 3, 0), ("last", (NOON + 2 * HOUR,), 2, 1), ("all", (NOON, NOON + HOUR, NOON + 2 * HOUR), 0, 3)],
)
def test_after_a_break_the_policy_decides(
    policy: Literal["none", "last", "all"], ticks: tuple[int, ...], missed: int, late: int
) -> None:
    due = schedules.due("shop/f", plan(caught_up(policy)), NOON + 2 * HOUR + 10 * MINUTE)
    assert due == schedules.Due(ticks, NOON + 3 * HOUR, missed, late)


def test_a_tick_in_time_stands_for_the_missed_ones_before_it() -> None:
    due = schedules.due("shop/f", plan(caught_up("last")), NOON + 2 * HOUR)
    assert due == schedules.Due((NOON + 2 * HOUR,), NOON + 3 * HOUR, 2, 0)


def test_all_means_the_newest_thousand_a_bounded_number_at_a_time() -> None:
    state, now_ms = plan(caught_up("all", "* * * * *")), NOON + 5_000 * MINUTE
    fired: list[int] = []
    missed = 0
    while (due := schedules.due("shop/f", state, now_ms)).ticks:
        assert len(due.ticks) <= FIRED_MAX
        fired += due.ticks
        missed += due.missed
        state = msgspec.structs.replace(state, next_at_ms=due.next_at_ms)
    assert fired == [now_ms - n * MINUTE for n in reversed(range(CATCH_UP_MAX))]
    assert (missed > 0, state.next_at_ms) == (True, now_ms + MINUTE)


def test_jitter_is_the_same_for_one_tick_and_spreads_functions() -> None:
    schedule = Schedule("@daily", jitter_ms=HOUR)
    moments = [schedules.fires_at_ms(f"shop/f{n}", schedule, NOON) for n in range(100)]
    assert moments == [schedules.fires_at_ms(f"shop/f{n}", schedule, NOON) for n in range(100)]
    assert NOON <= min(moments) < NOON + HOUR // 10
    assert NOON + HOUR * 9 // 10 < max(moments) <= NOON + HOUR
    assert len(set(moments)) > 90


def test_a_tick_with_jitter_is_fired_at_its_own_moment() -> None:
    schedule = Schedule("@hourly", jitter_ms=10 * MINUTE)
    at_ms = schedules.fires_at_ms("shop/f", schedule, NOON)
    assert schedules.due("shop/f", plan(schedule), at_ms - 1).ticks == ()
    assert schedules.due("shop/f", plan(schedule), at_ms).ticks == (NOON,)


def test_a_tick_is_the_same_run_whatever_the_schedule_says_beside_its_moments() -> None:
    one = schedules.run_id("shop/f", Schedule("@daily"), NOON)
    assert one == schedules.run_id("shop/f", Schedule("0 0 * * *", jitter_ms=5, overlap="skip"), NOON)
    assert one != schedules.run_id("shop/f", Schedule("0 0 * * *", "Europe/Berlin"), NOON)
    assert one != schedules.run_id("shop/g", Schedule("@daily"), NOON)


def test_a_tick_tells_its_moment_and_the_one_before_in_its_zone() -> None:
    spring = round(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp() * 1000)
    event = schedules.event_of("shop/f", Schedule("0 3 * * *", "Europe/Berlin"), spring)
    data = {"at": "2026-03-29T03:00:00+02:00", "previous": "2026-03-28T03:00:00+01:00"}
    assert (event.name, event.ts_ms, msgspec.json.decode(event.data)) == ("onward/tick", spring, data)


def test_a_schedule_that_ticks_as_before_keeps_its_plan() -> None:
    kept = Plan(HOURLY, NOON + 7 * HOUR, last_at_ms=NOON, last_run="run_1")
    changed = Schedule("0 * * * *", overlap="skip")
    assert schedules.is_same(HOURLY, changed)
    assert schedules.planned(changed, NOON, kept) == msgspec.structs.replace(kept, schedule=changed)
    assert schedules.planned(Schedule("@daily"), NOON, None).next_at_ms == NOON + 12 * HOUR


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (
            [Schedule("61 * * * *")],
            "shop/f, schedule '61 * * * *', option 'expression': '61 * * * *' is no schedule: bad",
        ),
        ([Schedule("@daily", "Mars")], "shop/f, schedule '@daily', option 'tz': this engine knows no time zone 'Mars'"),
        ([Schedule("@daily", jitter_ms=25 * HOUR)], "shop/f, schedule '@daily', option 'jitter': more than a day"),
        ([Schedule("@daily"), Schedule("0 0 * * *")], "two schedules tick at the same moments"),
        ([Schedule(f"{n} * * * *") for n in range(21)], "21 schedules; 20 are allowed"),
    ],
)
def test_a_wrong_schedule_is_named_with_its_function_and_option(found: Any, named: str) -> None:
    assert named in (schedules.problem(FunctionManifest("shop/f", schedules=tuple(found))) or "")
