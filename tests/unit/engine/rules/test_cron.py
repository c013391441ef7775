"""When schedules tick: in the time of their zone, over both changes of its clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onward_engine.rules import cron

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def ms(text: str, tz: str = "UTC") -> int:
    """A moment as the wall clock of the zone shows it (the first one if it does so twice)."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp() * 1000)


def ticks(expression: str, tz: str, begin: str, end: str) -> list[str]:
    """The ticks from `begin` up to before `end`, as hours and offsets."""
    found: list[str] = []
    for tick_ms in cron.ticks_ms(expression, tz, ms(begin, tz) - 1):
        if tick_ms >= ms(end, tz):
            return found
        day, _, clock = cron.text_of(tick_ms, tz).partition("T")
        found.append(f"{day[8:]} {clock[:5]}{clock[8:]}")
    raise AssertionError("ticks never end")


SPRING = {
    BERLIN: ("2026-03-28T12:00", "2026-03-30T12:00", "29", "30", "+01:00", "+02:00"),
    NEW_YORK: ("2026-03-07T12:00", "2026-03-09T12:00", "08", "09", "-05:00", "-04:00"),
}


@pytest.mark.parametrize("tz", [BERLIN, NEW_YORK])
def test_what_falls_into_the_missing_hour_comes_right_after_it(tz: str) -> None:
    begin, end, day, after, _, summer = SPRING[tz]
    assert ticks("30 2 * * *", tz, begin, end) == [f"{day} 03:00{summer}", f"{after} 02:30{summer}"]


@pytest.mark.parametrize("tz", [BERLIN, NEW_YORK])
def test_two_that_meet_behind_the_missing_hour_are_one(tz: str) -> None:
    begin, end, day, after, _, summer = SPRING[tz]
    expected = [f"{day} 03:00{summer}", f"{after} 02:00{summer}", f"{after} 03:00{summer}"]
    assert ticks("0 2,3 * * *", tz, begin, end) == expected


@pytest.mark.parametrize("tz", [BERLIN, NEW_YORK])
def test_every_hour_goes_on_over_the_missing_one(tz: str) -> None:
    _, _, day, _, winter, summer = SPRING[tz]
    begin, end = f"2026-03-{day}T00:30", f"2026-03-{day}T04:30"
    assert ticks("0 * * * *", tz, begin, end) == [
        f"{day} 01:00{winter}",
        f"{day} 03:00{summer}",
        f"{day} 04:00{summer}",
    ]


def test_what_falls_into_the_hour_that_is_repeated_comes_once() -> None:
    berlin = ticks("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-26T12:00")
    assert berlin == ["25 02:30+02:00", "26 02:30+01:00"]
    new_york = ticks("30 1 * * *", NEW_YORK, "2026-10-31T12:00", "2026-11-02T12:00")
    assert new_york == ["01 01:30-04:00", "02 01:30-05:00"]


def test_every_half_hour_comes_twice_in_the_hour_that_is_repeated() -> None:
    berlin = ticks("*/30 * * * *", BERLIN, "2026-10-25T02:00", "2026-10-25T03:30")
    assert berlin == ["25 02:00+02:00", "25 02:30+02:00", "25 02:00+01:00", "25 02:30+01:00", "25 03:00+01:00"]
    new_york = ticks("*/30 * * * *", NEW_YORK, "2026-11-01T01:00", "2026-11-01T02:30")
    assert new_york == ["01 01:00-04:00", "01 01:30-04:00", "01 01:00-05:00", "01 01:30-05:00", "01 02:00-05:00"]


@pytest.mark.parametrize("tz", [BERLIN, NEW_YORK])
@pytest.mark.parametrize("minute", [0, 10, 30, 50])
def test_an_engine_that_starts_in_the_hour_that_is_repeated_does_not_go_back(tz: str, minute: int) -> None:
    begin = ms("2026-10-25T02:00" if tz == BERLIN else "2026-11-01T01:00", tz) + 3_600_000 + minute * 60_000
    hour = 2 if tz == BERLIN else 1
    tick = cron.next_tick_ms(f"30 {hour} * * *", tz, begin)
    assert tick is not None
    assert tick > begin + 12 * 3_600_000


@pytest.mark.parametrize("tz", [BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "0 0 * * SUN", "15 1,2,3 * * *"])
def test_a_year_of_ticks_is_the_same_one_by_one_and_backwards(expression: str, tz: str) -> None:
    begin, end = ms("2026-01-01T00:00"), ms("2027-01-01T00:00")
    forwards: list[int] = []
    tick = cron.next_tick_ms(expression, tz, begin)
    while tick is not None and tick <= end:
        forwards.append(tick)
        tick = cron.next_tick_ms(expression, tz, tick)
    assert forwards == sorted(set(forwards))
    for count in (1, 7, 50):
        assert cron.last_ticks_ms(expression, tz, end, count) == forwards[-count:]


@given(
    minute=st.sampled_from(["*", "0", "*/15", "7,37"]),
    hour=st.sampled_from(["*", "2", "1-4", "*/6", "0,2,3"]),
    day=st.sampled_from(["*", "1", "L", "13"]),
    month=st.sampled_from(["*", "3,10,11"]),
    weekday=st.sampled_from(["*", "MON-FRI", "0", "SUN#2"]),
    tz=st.sampled_from([BERLIN, NEW_YORK, "UTC"]),
    after_ms=st.integers(ms("2026-01-01T00:00"), ms("2026-12-31T00:00")),
)
def test_the_last_tick_before_a_moment_is_followed_by_one_behind_it(
    minute: str, hour: str, day: str, month: str, weekday: str, tz: str, after_ms: int
) -> None:
    expression = f"{minute} {hour} {day} {month} {weekday}"
    (last,) = cron.last_ticks_ms(expression, tz, after_ms, 1)
    following = cron.next_tick_ms(expression, tz, last)
    assert following is not None
    assert last <= after_ms < following
    assert cron.next_tick_ms(expression, tz, last - 1) == last
    assert following == cron.next_tick_ms(expression, tz, after_ms)


@pytest.mark.parametrize(
    ("alias", "tick"),
    [
        ("@hourly", "2026-05-05T13:00"),
        ("@daily", "2026-05-06T00:00"),
        ("@midnight", "2026-05-06T00:00"),
        ("@weekly", "2026-05-10T00:00"),
        ("@monthly", "2026-06-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
    ],
)
def test_an_alias_stands_for_five_fields(alias: str, tick: str) -> None:
    assert cron.next_tick_ms(alias, "UTC", ms("2026-05-05T12:34")) == ms(tick)


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("61 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 * 13 *", "bad month"),
        ("0 0 * * 8", "bad day-of-week"),
        ("0 0 * * XYZ", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("* * * * * *", "has not the five fields"),
        ("@reboot", "has not the five fields"),
        ("", "has not the five fields"),
    ],
)
def test_what_is_no_schedule_is_named(expression: str, named: str) -> None:
    assert named in (cron.expression_problem(expression) or "")


@pytest.mark.parametrize("tz", ["Nowhere/Else", "../etc/passwd", "/etc/passwd", "", "a\0b", "Europe"])
def test_what_is_no_time_zone_is_named(tz: str) -> None:
    assert "no time zone" in (cron.zone_problem(tz) or "")
