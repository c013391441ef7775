"""Schedules: each tick starts one run, at its time in its zone, whatever happens to workers and engines. Time passes by
the engine's clock, which the tests move.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from onward import App, Context, Cron, EventType, Function, Retry, RunCancelled, Tick

from tests.acceptance.bodies import stand_at
from tests.acceptance.house import House
from tests.support.processes import note

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
functions = App("cron", retry=Retry(attempts=1))


@dataclass
class Seen:
    """What a run knows of its tick."""

    at: datetime
    previous: datetime | None = None


def ticks(house: House, function: Function[Any, Seen], ms: int) -> list[datetime]:
    """Let so much time pass and return the ticks that started the function meanwhile, oldest first."""
    known = started(house, function)
    house.advance(ms)
    new = started(house, function) - known
    return sorted(house.run_of(run, function).at for run in new)


def started(house: House, function: Function[Any, Any]) -> set[str]:
    return {run.id for run in house.client.list_runs(function=function, limit=200).runs}


def gaps(moments: list[datetime]) -> set[timedelta]:
    return {after - before for before, after in pairwise(moments)}


# -- when


@functions.cron("*/20 * * * *")
async def often(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at, ctx.data.previous)


@pytest.mark.every_store
def test_each_tick_starts_one_run_and_knows_the_one_before_it(house: House) -> None:
    moments = ticks(house, often, 4 * HOUR_MS)
    assert (len(moments), gaps(moments)) == (12, {timedelta(minutes=20)})
    assert {moment.minute for moment in moments} == {0, 20, 40}
    newest = house.client.list_runs(function=often, limit=1).runs[0]
    assert house.run_of(newest.id, often).previous == moments[-2]


@functions.cron("@hourly")
async def hourly(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


def test_an_alias_stands_for_its_five_fields(house: House) -> None:
    moments = ticks(house, hourly, 5 * HOUR_MS)
    assert (len(moments), {moment.minute for moment in moments}) == (5, {0})


@functions.cron("15 3 * * *", tz="Europe/Berlin")
async def berlin(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


@functions.cron("TZ=America/New_York 15 3 * * *")
async def new_york(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


@pytest.mark.parametrize(("function", "zone"), [(berlin, BERLIN), (new_york, NEW_YORK)])
def test_a_schedule_ticks_by_the_clock_of_its_zone(house: House, function: Function[Any, Any], zone: ZoneInfo) -> None:
    [moment] = ticks(house, function, DAY_MS)
    there = moment.astimezone(zone)
    assert (there.hour, there.minute, moment.utcoffset()) == (3, 15, there.utcoffset())


@functions.cron("30 6 * * *", jitter="30m")
async def jittered(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


def test_jitter_moves_when_a_tick_is_fired_and_not_what_it_says(house: House) -> None:
    moments = ticks(house, jittered, DAY_MS + 31 * MINUTE_MS)
    assert {(moment.hour, moment.minute) for moment in moments} == {(6, 30)}
    planned = house.client.get_schedule(jittered)
    assert planned.next_at_ms is not None
    assert planned.fires_at_ms is not None
    assert 0 <= planned.fires_at_ms - planned.next_at_ms <= 30 * MINUTE_MS


Started = EventType("cron/started", dict[str, str])


@functions.on(Cron("5 4 * * *") | Cron("35 4 * * *") | Started)
async def several(ctx: Context[Tick | dict[str, str]]) -> Seen:
    return Seen(ctx.data.at if isinstance(ctx.data, Tick) else ctx.event.ts)


def test_a_function_may_have_several_schedules_and_events(house: House) -> None:
    assert {moment.minute for moment in ticks(house, several, DAY_MS)} == {5, 35}
    [run] = house.send(Started({"by": "hand"}))
    assert house.status(run) == "completed"


# -- when the last one still runs


async def stand(ctx: Context[Tick]) -> Seen:
    gate = f"{ctx.function_id.replace('/', '-')} {ctx.data.at:%Y%m%d%H%M}"
    try:
        await ctx.step.run("stand", stand_at, gate)
    except RunCancelled:
        note("cancelled", gate)
        raise
    return Seen(ctx.data.at)


ALLOW = functions.cron("0 8 * * *", id="allow", overlap="allow")(stand)
SKIP = functions.cron("0 8 * * *", id="skip", overlap="skip")(stand)
CANCEL = functions.cron("0 8 * * *", id="cancel", overlap="cancel")(stand)


@pytest.mark.every_store
def test_a_tick_starts_skips_or_cancels_while_the_run_of_the_last_one_goes_on(house: House) -> None:
    for one in (ALLOW, SKIP, CANCEL):
        house.client.cancel_many(function=one, cleanup=0)
    before = {one.id: len(started(house, one)) for one in (ALLOW, SKIP, CANCEL)}
    skipped = house.client.get_schedule(SKIP).skipped
    house.advance(DAY_MS)
    assert [len(started(house, one)) - before[one.id] for one in (ALLOW, SKIP, CANCEL)] == [1, 1, 1]
    house.advance(DAY_MS)
    assert [len(started(house, one)) - before[one.id] for one in (ALLOW, SKIP, CANCEL)] == [2, 1, 2]
    newer, older, *_ = house.client.list_runs(function=CANCEL).runs
    assert house.client.wait(older.id, timeout=30).status == "cancelled"
    assert newer.status != "cancelled"
    assert house.client.get_schedule(SKIP).skipped == skipped + 1


# -- when something dies


@functions.cron("10 * * * *")
async def survivor(ctx: Context[Tick]) -> Seen:
    note("survived", ctx.data.at.isoformat())
    return Seen(ctx.data.at)


def test_a_kill_of_the_engine_fires_no_tick_twice_and_loses_none(house: House) -> None:
    before = ticks(house, survivor, 2 * HOUR_MS)
    known = started(house, survivor)
    house.restart_engine()
    assert started(house, survivor) == known
    after = ticks(house, survivor, 2 * HOUR_MS)
    assert gaps([*before, *after]) == {timedelta(hours=1)}
    assert {house.count(f"survived {moment.isoformat()}") for moment in (*before, *after)} == {1}


def test_ticks_wait_for_a_worker(house: House) -> None:
    known = started(house, survivor)
    with house.no_worker():
        house.advance(3 * HOUR_MS)
        new = started(house, survivor) - known
    assert gaps(sorted(house.run_of(run, survivor).at for run in new)) == {timedelta(hours=1)}
    assert len(new) == 3


def test_another_worker_with_the_same_schedule_fires_nothing_twice(house: House) -> None:
    house.start_worker("second")
    assert len(ticks(house, survivor, 3 * HOUR_MS)) == 3
    house.kill_worker("second")


# -- by hand


@functions.cron("25 * * * *")
async def paused(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


def test_a_paused_schedule_rests_and_makes_up_for_nothing_when_it_goes_on(house: House) -> None:
    house.client.pause_schedule(paused)
    assert ticks(house, paused, 3 * HOUR_MS) == []
    house.client.resume_schedule(paused)
    assert started(house, paused) == set() or len(ticks(house, paused, HOUR_MS)) == 1


def test_a_backfill_starts_what_is_missing_once(house: House) -> None:
    now = datetime.fromtimestamp(house.now_ms() / 1000, UTC)
    long_ago = now - timedelta(days=100)
    fill = partial(house.client.backfill, paused, from_=long_ago, until=long_ago + timedelta(hours=6))
    planned = fill(dry_run=True)
    assert (len(planned), {tick.is_new for tick in planned}) == (6, {True})
    assert len(fill()) == 6
    assert [house.run_of(tick.run, paused).at for tick in planned] == [tick.at for tick in planned]
    assert {tick.is_new for tick in fill()} in ({False}, set())


def test_the_next_ticks_are_known(house: House) -> None:
    after = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)
    shown = house.client.next_ticks(often, after=after, limit=3)
    assert [f"{moment:%d %H:%M}" for moment in shown] == ["31 22:40", "31 23:00", "31 23:20"]
    [schedule] = house.client.list_schedules(function=berlin).schedules
    assert (schedule.expression, schedule.tz, schedule.is_paused) == ("15 3 * * *", "Europe/Berlin", False)


# -- when the code changes

IS_NEW = os.environ.get("VERSION_OF_TEST") == "new"


@functions.cron("0 12 * * *" if IS_NEW else "0 11 * * *")
async def changing(ctx: Context[Tick]) -> Seen:
    return Seen(ctx.data.at)


def test_a_worker_with_another_schedule_replaces_the_one_that_was_known(house: House) -> None:
    assert {moment.hour for moment in ticks(house, changing, DAY_MS)} == {11}
    house.environment["VERSION_OF_TEST"] = "new"
    house.replace_worker()
    assert {moment.hour for moment in ticks(house, changing, DAY_MS)} == {12}


BROKEN: dict[str, dict[str, Any]] = {
    "minute": {"expression": "61 * * * *"},
    "fields": {"expression": "* * * *"},
    "never": {"expression": "0 0 31 2 *"},
    "alias": {"expression": "@sometimes"},
    "zone": {"expression": "@daily", "tz": "Europe/Nowhere"},
    "jitter": {"expression": "@daily", "jitter": "2d"},
    "overlap": {"expression": "@daily", "overlap": "perhaps"},
}
if chosen := BROKEN.get(os.environ.get("BROKEN_OPTION_OF_TEST", "")):
    functions.cron(**chosen, id="broken")(often.fn)


@pytest.mark.parametrize("option", BROKEN)
def test_a_wrong_schedule_is_refused_when_its_worker_registers(house: House, option: str) -> None:
    house.environment["BROKEN_OPTION_OF_TEST"] = option
    try:
        words = house.worker_refused(house.app)
    finally:
        house.environment["BROKEN_OPTION_OF_TEST"] = ""
    assert str(list(BROKEN[option].values())[-1]) in words
    assert "cron/broken" in words or "Cron('" in words
    assert "Traceback" not in words


# -- over the changes of the clocks


@functions.on(Cron("30 2 * * *", tz="Europe/Berlin") | Cron("30 2 * * *", tz="America/New_York"))
async def nightly(ctx: Context[Tick]) -> None:
    zone = "Berlin" if ctx.data.at.utcoffset() in {timedelta(hours=1), timedelta(hours=2)} else "New York"
    note("night", zone, ctx.data.at.isoformat())


@pytest.mark.timeout(120)
def test_a_year_of_nights_has_one_tick_each_also_when_the_clocks_change(house: House) -> None:
    for schedule in house.client.list_schedules(limit=200).schedules:
        if schedule.function != nightly.id and not schedule.is_paused:
            house.client.pause_schedule(schedule.function, schedule.number)
    first = datetime.fromtimestamp(house.now_ms() / 1000, UTC).date() + timedelta(days=1)
    house.advance(365 * DAY_MS)
    for place, zone in (("Berlin", BERLIN), ("New York", NEW_YORK)):
        expected = {night(first + timedelta(days=day), zone) for day in range(363)}
        house.until(lambda: expected <= set(house.lines(f"night {place} ")), f"all nights of {place}")  # noqa: B023
        found = house.lines(f"night {place} ")
        assert sorted(text[:10] for text in found) == sorted({text[:10] for text in found})


def night(day: date, zone: ZoneInfo) -> str:
    """Return half past two of a day; the moment right after if that is left out, the first one if it comes twice."""
    wall = datetime(day.year, day.month, day.day, 2, 30, tzinfo=zone)
    is_there = wall.astimezone(UTC).astimezone(zone).hour == wall.hour
    return (wall if is_there else wall.replace(hour=3, minute=0)).isoformat()
