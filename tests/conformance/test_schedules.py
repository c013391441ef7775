"""Schedules: each tick starts its function once, whoever fires it and however often."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from onward_engine.model import Run, Status
from onward_engine.rules import schedules as rules
from onward_engine.rules.schedules import Plan
from onward_engine.store import planned
from onward_engine.store.port import Backfill, Backfilled, HoldSchedule, Register, Rejected, RunFilter
from onward_protocol.messages import AppManifest, Failure, FunctionManifest, RunCompleted, RunFailed, Schedule

from tests.conformance.driver import Driver, function

NOON = round(datetime(2026, 5, 5, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000
DONE = RunCompleted(b"\xc0")


async def registered(driver: Driver, *schedules: Schedule, **options: Any) -> None:
    """Register `shop/nightly` half an hour before noon."""
    driver.now = options.pop("now_ms", NOON - HOUR // 2)
    await driver.register(FunctionManifest("shop/nightly", schedules=schedules, **options), function("work"))


async def plans(driver: Driver, name: str = "nightly") -> list[Plan]:
    return [planned.plan_of(item) for item in await driver.store.items(planned.KIND, f"shop/{name}")]


async def runs(driver: Driver) -> list[Run]:
    """All runs of the function, oldest first."""
    found = (await driver.store.runs(RunFilter(function="shop/nightly", limit=5_000))).runs
    return list(reversed(found))


async def fire_at(driver: Driver, at_ms: int) -> list[Run]:
    """Fire until nothing is due; returns all runs."""
    driver.now = at_ms
    while await driver.fire():
        pass
    return await runs(driver)


def next_due(driver: Driver) -> int | None:
    """When something is due next, as of the last commit."""
    return driver.notices.next_due_at_ms


async def test_a_tick_starts_a_run_with_its_moment(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    assert driver.notices.next_due_at_ms == NOON
    assert await fire_at(driver, NOON - 1) == []
    (run,) = await fire_at(driver, NOON)
    (assignment,) = await driver.claim("nightly")
    data = {"at": "2026-05-05T12:00:00+00:00", "previous": "2026-05-05T11:00:00+00:00"}
    assert [msgspec.json.decode(event.data) for event in assignment.events] == [data]
    assert run.id == rules.run_id("shop/nightly", Schedule("@hourly"), NOON)


async def test_a_tick_is_fired_once_and_the_next_one_follows(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    assert len(await fire_at(driver, NOON)) == 1
    assert len(await fire_at(driver, NOON + 1)) == 1
    assert driver.notices.next_due_at_ms == NOON + HOUR
    assert len(await fire_at(driver, NOON + HOUR)) == 2


async def test_what_a_newer_registration_says_counts_at_once(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    await registered(driver, Schedule("45 11 * * *"), now_ms=NOON - HOUR // 2)
    assert driver.notices.next_due_at_ms == NOON - HOUR // 4
    await registered(driver)
    assert (await driver.store.items(planned.KIND, "shop/nightly"), next_due(driver)) == ([], None)


async def test_a_function_that_is_gone_ticks_no_more(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    await driver.register(function("work"))
    assert (await plans(driver), await fire_at(driver, NOON)) == ([], [])


async def test_an_option_that_changes_leaves_the_ticks_alone(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    await fire_at(driver, NOON)
    await registered(driver, Schedule("@daily"), Schedule("0 * * * *", overlap="skip"), now_ms=NOON + 1)
    daily, hourly = await plans(driver)
    assert (daily.last_at_ms, hourly.last_at_ms, hourly.next_at_ms) == (0, NOON, NOON + HOUR)


async def test_a_tick_is_skipped_while_the_run_of_the_last_one_goes_on(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly", overlap="skip"))
    (run,) = await fire_at(driver, NOON)
    (assignment,) = await driver.claim("nightly")
    assert await fire_at(driver, NOON + HOUR) == [await driver.get(run)]
    assert [plan.skipped for plan in await plans(driver)] == [1]
    await driver.checkpoint(assignment.run, 1, outcome=DONE)
    assert len(await fire_at(driver, NOON + 2 * HOUR)) == 2


async def test_a_run_that_goes_on_is_cancelled_by_the_next_tick(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly", overlap="cancel"))
    (first,) = await fire_at(driver, NOON)
    await driver.claim("nightly")
    _, second = await fire_at(driver, NOON + HOUR)
    assert (await driver.get(first)).cancel_reason == "the next tick of its schedule has come"
    assert await driver.status(second) is Status.QUEUED
    _, _, third = await fire_at(driver, NOON + 2 * HOUR)  # nobody has begun the second
    assert [await driver.status(one) for one in (second, third)] == [Status.CANCELLED, Status.QUEUED]


async def test_runs_may_overlap_if_nothing_is_said(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    await fire_at(driver, NOON)
    await driver.claim("nightly")
    assert len(await fire_at(driver, NOON + HOUR)) == 2


async def test_missed_ticks_are_made_up_for_as_the_schedule_says(driver: Driver) -> None:
    late = NOON + 2 * HOUR + HOUR // 2
    schedules = [Schedule("@hourly", catch_up=policy) for policy in ("none", "last", "all")]
    functions = [FunctionManifest(f"shop/{one.catch_up}", schedules=(one,)) for one in schedules]
    driver.now = NOON - 1
    await driver.register(*functions)
    driver.now = late
    await driver.fire()
    missed = {one.function: (one.given_up, one.late) for one in driver.notices.missed}
    assert missed == {"shop/none": (3, 0), "shop/last": (2, 1), "shop/all": (0, 3)}
    assert [len(await driver.claim(name)) for name in ("none", "last", "all")] == [0, 1, 3]
    assert driver.notices.next_due_at_ms == NOON + 3 * HOUR


async def test_many_missed_ticks_take_several_transactions(driver: Driver) -> None:
    await registered(driver, Schedule("* * * * *", catch_up="all"), now_ms=NOON - 1)
    driver.now = NOON + 250 * 60_000 - 1
    await driver.fire()
    assert (len(await runs(driver)), driver.notices.next_due_at_ms) == (100, NOON + 100 * 60_000)
    assert len(await fire_at(driver, driver.now)) == 250


async def test_a_paused_schedule_rests_and_goes_on_from_then_on(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly", catch_up="all"))
    assert await driver.one(HoldSchedule(driver.now, "shop/nightly", "0", is_paused=True))
    assert next_due(driver) is None
    assert await fire_at(driver, NOON + 5 * HOUR) == []
    assert await driver.one(HoldSchedule(driver.now + 1, "shop/nightly", "0", is_paused=False))
    assert driver.notices.next_due_at_ms == NOON + 6 * HOUR
    assert not await driver.one(HoldSchedule(driver.now, "shop/nightly", "1", is_paused=True))


async def test_a_pause_outlives_a_new_registration(driver: Driver) -> None:
    await registered(driver, Schedule("@hourly"))
    await driver.one(HoldSchedule(driver.now, "shop/nightly", "0", is_paused=True))
    await registered(driver, Schedule("@daily"))
    assert [(plan.is_paused, plan.next_at_ms) for plan in await plans(driver)] == [(True, None)]


async def test_ticks_of_the_past_are_started_once_and_meet_the_ones_that_were_fired(driver: Driver) -> None:
    schedule = Schedule("@hourly", overlap="skip")
    await registered(driver, schedule)
    (fired,) = await fire_at(driver, NOON)
    op = Backfill(driver.now, "shop/nightly", schedule, tuple(NOON - n * HOUR for n in (2, 1, 0)))
    done = await driver.one(op)
    assert [one.is_new for one in done] == [True, True, False]
    assert done[2].run == fired.id
    assert await driver.one(op) == tuple(Backfilled(one.tick_ms, one.run, is_new=False) for one in done)
    assert len(await driver.claim("nightly")) == 3


async def test_ticks_of_a_function_that_nobody_offers_are_refused(driver: Driver) -> None:
    (outcome,) = await driver.apply(Backfill(driver.now, "shop/nobody", Schedule("@daily"), (NOON,)))
    assert isinstance(outcome, Rejected)
    assert outcome.code == "unknown_function"


async def test_a_failed_run_of_a_tick_is_handled_with_its_tick(driver: Driver) -> None:
    driver.now = NOON - 1
    nightly = FunctionManifest("shop/nightly", schedules=(Schedule("@hourly"),), on_failure="shop/rescue")
    await driver.register(nightly, function("rescue"))
    await fire_at(driver, NOON)
    (assignment,) = await driver.claim("nightly")
    await driver.checkpoint(assignment.run, 1, outcome=RunFailed(Failure("E", "")))
    (rescue,) = await driver.claim("rescue")
    assert rescue.events == assignment.events


async def test_a_schedule_that_never_ticks_is_refused_with_its_function(driver: Driver) -> None:
    wrong = FunctionManifest("shop/nightly", schedules=(Schedule("0 0 31 2 *"),))
    (outcome,) = await driver.apply(Register(driver.now, AppManifest("shop", "2", (wrong,))))
    assert isinstance(outcome, Rejected)
    assert outcome.message.startswith("shop/nightly, schedule '0 0 31 2 *', option 'expression': ")
