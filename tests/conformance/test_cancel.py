"""Cancelling: at once where nothing runs, with time to clean up where something does, and final."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.store.port import CancelRun
from onward_protocol.codec import decode_engine_entries
from onward_protocol.messages import (
    CancelRequested,
    EventWait,
    Parked,
    RunCancelled,
    RunCompleted,
    Seen,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import OTHER, Driver, held

DONE = StepDone("a", b"")


async def parked(driver: Driver) -> Run:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("go", timeout_ms=3_600_000)), outcome=Parked())
    return run


async def test_a_run_that_never_started_is_cancelled_at_once(driver: Driver) -> None:
    run = await driver.start("work")
    assert await driver.cancel(run) == "cancelled"
    assert driver.notices.finished == [run]
    assert (await driver.get(run)).cancel_reason == "asked"
    assert await driver.claim("work") == ()


async def test_a_running_run_is_told_and_may_clean_up(driver: Driver) -> None:
    run = await driver.running()
    assert await driver.cancel(run) == "cancelling"
    [woken] = driver.notices.woken
    assert woken.entries == (CancelRequested(1, 10_000, "asked", driver.now),)
    assert (await driver.checkpoint(run, 1, Seen(1), DONE)).verdict == "applied"
    await driver.checkpoint(run, 2, outcome=RunCancelled())
    found = await driver.get(run)
    assert (found.status, found.steps, found.cancel_reason) == (Status.CANCELLED, 1, "asked")
    assert driver.notices.next_due_at_ms is None


async def test_after_its_time_to_clean_up_a_run_is_over(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run, cleanup_ms=500)
    assert driver.notices.next_due_at_ms == driver.now + 500
    driver.now += 500
    assert await driver.fire() == 1
    assert [fenced.run for fenced in driver.notices.fenced] == [run.id]
    assert await driver.status(run) is Status.CANCELLED
    assert (await driver.checkpoint(run, 1, DONE)).verdict == "stale"


async def test_nothing_else_of_a_run_fires_after_its_end(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", Sleep(600)))
    await driver.cancel(run, cleanup_ms=500)
    driver.now += 600
    assert await driver.fire() == 1
    assert (await driver.get(run)).pos == 1


async def test_a_parked_run_is_woken_to_clean_up(driver: Driver) -> None:
    run = await parked(driver)
    await driver.cancel(run)
    assert [woken.status for woken in driver.notices.woken] == [Status.READY]
    entries = await driver.admit(run)
    assert entries == (CancelRequested(1, 10_000, "asked", driver.now),)


async def test_the_time_to_clean_up_begins_when_a_worker_is_told(driver: Driver) -> None:
    run = await parked(driver)
    await driver.give_back(run, "evicted")
    await driver.cancel(run, cleanup_ms=500)
    driver.now += 60_000
    assert await driver.fire() == 0
    [assignment] = await driver.claim("work", instance=OTHER)
    [entry] = decode_engine_entries(assignment.entries[0])
    assert isinstance(entry, CancelRequested)
    assert driver.notices.next_due_at_ms == driver.now + 500


async def test_a_takeover_continues_the_time_to_clean_up(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run, cleanup_ms=500)
    driver.now += 400
    await driver.give_back(run)
    await driver.claim("work", instance=OTHER)
    driver.now += 100
    assert await driver.fire() == 1
    assert await driver.status(run) is Status.CANCELLED


async def test_an_orphan_is_told_when_it_comes_back(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    assert await driver.cancel(run) == "cancelling"
    assert driver.notices.woken == []
    [answer] = await driver.resume(held(run))
    assert [type(entry) for entry in answer.entries] == [CancelRequested]


async def test_a_second_request_changes_nothing(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run, reason="first")
    assert await driver.cancel(run, reason="second") == "cancelling"
    found = await driver.get(run)
    assert (found.pos, found.cancel_reason) == (1, "first")


async def test_without_time_to_clean_up_a_run_is_over_at_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run)
    assert await driver.cancel(run, cleanup_ms=0) == "cancelled"
    assert [fenced.run for fenced in driver.notices.fenced] == [run.id]


async def test_what_comes_first_in_a_batch_wins(driver: Driver) -> None:
    first, second = await driver.running(), await driver.running()
    complete = RunCompleted(b"\x01")
    outcomes = await driver.apply(
        driver.frame(first, 1, outcome=complete),
        CancelRun(driver.now, first.id, "", 0),
        CancelRun(driver.now, second.id, "", 0),
        driver.frame(second, 1, outcome=complete),
    )
    assert [outcomes[1], outcomes[3].verdict] == ["terminal", "stale"]
    assert [await driver.status(run) for run in (first, second)] == [Status.COMPLETED, Status.CANCELLED]


async def test_code_that_finishes_in_spite_of_a_request_has_finished(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run)
    await driver.checkpoint(run, 1, outcome=RunCompleted(b"\x01"))
    assert await driver.status(run) is Status.COMPLETED


async def test_an_unknown_run_cannot_be_cancelled(driver: Driver) -> None:
    assert await driver.cancel("run_nobody") == "unknown"


async def test_a_cancelled_run_can_still_wait_while_it_cleans_up(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run, cleanup_ms=500)
    wait = WaitOpened("w", EventWait("go"))
    assert (await driver.checkpoint(run, 1, Seen(1), wait, outcome=Parked())).status is Status.PARKED
    await driver.send("go")
    assert await driver.status(run) is Status.READY
    driver.now += 500
    await driver.fire()
    assert await driver.status(run) is Status.CANCELLED
    assert await driver.claim("work") == ()
