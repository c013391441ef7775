"""The time of day is kept, and timers are moved when it jumps."""

from __future__ import annotations

from msgspec.structs import replace
from onward_engine.model import Run, Status
from onward_engine.store.port import Ingest, NoteTime, SetLimit, ShiftTimers
from onward_protocol.messages import (
    ConcurrencyLimit,
    DebounceRule,
    EventWait,
    FunctionManifest,
    IdempotencyRule,
    Parked,
    RateRule,
    Sleep,
    ThrottleRule,
    Trigger,
    Wait,
    WaitOpened,
)

from tests.conformance.driver import Driver

HOUR = 3_600_000


async def waiting(driver: Driver, wait: Wait) -> Run:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("wait", wait), outcome=Parked())
    return run


async def woken(driver: Driver, *runs: Run) -> list[bool]:
    await driver.fire()
    return [await driver.status(run) is Status.READY for run in runs]


async def test_the_time_is_kept(driver: Driver) -> None:
    assert await driver.one(NoteTime(5)) == 0
    assert await driver.one(NoteTime(7)) == 5
    assert await driver.one(NoteTime(3)) == 7
    assert driver.notices.next_due_at_ms is None


async def test_what_counts_from_a_moment_is_moved_and_a_moment_of_the_day_is_not(driver: Driver) -> None:
    nap = await waiting(driver, Sleep(HOUR))
    until = await waiting(driver, Sleep(0, driver.now + HOUR))
    event = await waiting(driver, EventWait("never", timeout_ms=HOUR))
    driver.now += 10 * HOUR
    assert await driver.one(ShiftTimers(driver.now, 10 * HOUR)) == 2
    assert await woken(driver, nap, until, event) == [False, True, False]
    driver.now += HOUR
    assert await woken(driver, nap, event) == [True, True]


async def test_timers_are_moved_back_too(driver: Driver) -> None:
    driver.now = 100 * HOUR
    nap = await waiting(driver, Sleep(HOUR))
    driver.now -= 90 * HOUR
    await driver.one(ShiftTimers(driver.now, -90 * HOUR))
    assert driver.notices.next_due_at_ms == driver.now + HOUR
    driver.now += HOUR
    assert await woken(driver, nap) == [True]


async def test_a_run_that_waits_for_its_holder_does_not_wait_longer(driver: Driver) -> None:
    driver.now = 100 * HOUR
    run = await driver.running()
    await driver.orphan(grace_ms=1_000)
    driver.now -= 90 * HOUR
    await driver.one(ShiftTimers(driver.now, -90 * HOUR))
    assert await driver.claim("work", instance="wrk_b") == ()
    driver.now += 1_000
    assert [one.run.id for one in await driver.claim("work", instance="wrk_b")] == [run.id]


async def test_delayed_events_keep_their_moment(driver: Driver) -> None:
    new = driver.new_event("work.asked")
    await driver.one(Ingest(driver.now, (replace(new, due_at_ms=driver.now + HOUR),)))
    due = driver.now + HOUR
    await driver.one(ShiftTimers(driver.now, 5 * HOUR))
    assert driver.notices.next_due_at_ms == due


async def test_flow_control_goes_on_as_if_the_clock_had_not_jumped(driver: Driver) -> None:
    driver.now = 100 * HOUR
    trigger = (Trigger("asked"),)
    await driver.register(
        FunctionManifest("shop/debounced", trigger, debounce=DebounceRule(HOUR, timeout_ms=3 * HOUR)),
        FunctionManifest("shop/rated", trigger, rate_limit=RateRule(1, HOUR)),
        FunctionManifest("shop/once", trigger, idempotency=IdempotencyRule("event.name", HOUR)),
        FunctionManifest("shop/slow", trigger, throttle=ThrottleRule(1, HOUR)),
    )
    await driver.send("asked")
    await driver.claim("slow")
    await driver.send("asked")
    driver.now -= 90 * HOUR
    await driver.one(ShiftTimers(driver.now, -90 * HOUR))
    for hours, debounced, slow in ((HOUR - 1, 0, 0), (1, 1, 1)):
        driver.now += hours
        await driver.fire()
        assert [len(await driver.claim(name)) for name in ("debounced", "slow")] == [debounced, slow]
    assert [len(await driver.claim(name)) for name in ("rated", "once")] == [1, 1]
    await driver.send("asked")
    assert [len(await driver.claim(name)) for name in ("rated", "once")] == [1, 1]


async def test_who_is_about_to_be_let_in_does_not_wait_for_the_old_time(driver: Driver) -> None:
    driver.now = 100 * HOUR
    await driver.register(FunctionManifest("shop/narrow", concurrency=(ConcurrencyLimit(1),)))
    for _ in range(2):
        await driver.start("narrow")
    await driver.claim("narrow")
    await driver.one(SetLimit(driver.now, "shop/narrow", "concurrency:0", 2, "ann"))
    driver.now -= 90 * HOUR
    await driver.one(ShiftTimers(driver.now, -90 * HOUR))
    while await driver.fire():
        pass
    assert len(await driver.claim("narrow")) == 1
