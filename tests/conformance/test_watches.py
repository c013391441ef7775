"""What the engine watches runs for: events that cancel them, and time that is up."""

from __future__ import annotations

import msgspec
from onward_engine.model import Run, Status
from onward_engine.store.port import Accepted, Happened, Ingest, Rejected
from onward_protocol.messages import (
    CancelRequested,
    CancelRule,
    EventWait,
    FunctionManifest,
    HandedBack,
    Parked,
    RunCompleted,
    Sleep,
    WaitOpened,
)

from tests.conformance.driver import OTHER, WORKER, Driver, function

WITHDRAWN = CancelRule("order.withdrawn", ("id",))


def watched(*rules: CancelRule, **options: int | None) -> FunctionManifest:
    return msgspec.structs.replace(function("order", "order.placed"), cancel_on=rules, **options)


async def placed(driver: Driver, id: str = "o1") -> str:
    return (await driver.send("order.placed", {"id": id})).runs[0]


async def claimed(driver: Driver, instance: str = WORKER) -> Run:
    [assignment] = await driver.claim("order", instance=instance)
    return assignment.run


async def test_an_event_cancels_the_queued_runs_that_it_matches(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    mine, other = await placed(driver, "o1"), await placed(driver, "o2")
    await driver.send("order.withdrawn", {"id": "o1"})
    assert (await driver.get(mine)).status is Status.CANCELLED
    assert (await driver.get(mine)).cancel_reason == "event order.withdrawn (evt_3)"
    assert await driver.status(other) is Status.QUEUED


async def test_an_event_cancels_a_running_run_with_time_to_clean_up(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    await placed(driver)
    run = await claimed(driver)
    await driver.send("order.withdrawn", {"id": "o1"})
    [woken] = driver.notices.woken
    assert woken.entries == (CancelRequested(1, 30_000, "event order.withdrawn (evt_3)", driver.now),)
    assert await driver.status(run) is Status.ASSIGNED


async def test_an_event_cancels_sleeping_and_waiting_runs(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    for wait in (Sleep(3_600_000), EventWait("go")):
        await placed(driver)
        run = await claimed(driver)
        assert (await driver.checkpoint(run, 1, WaitOpened("w", wait), outcome=Parked())).status is Status.PARKED
        await driver.send("order.withdrawn", {"id": "o1"})
        assert await driver.status(run) is Status.READY
        await driver.cancel(run, cleanup_ms=0)


async def test_an_event_behind_the_trigger_in_one_request_counts(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    events = (driver.new_event("order.placed", {"id": "o1"}), driver.new_event("order.withdrawn", {"id": "o1"}))
    accepted: tuple[Accepted, ...] = await driver.one(Ingest(driver.now, events))
    assert await driver.status(accepted[0].runs[0]) is Status.CANCELLED


async def test_an_event_before_the_trigger_does_not_count(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    await driver.send("order.withdrawn", {"id": "o1"})
    assert await driver.status(await placed(driver)) is Status.QUEUED


async def test_a_newer_trigger_cancels_the_run_of_the_one_before_and_not_its_own(driver: Driver) -> None:
    await driver.register(watched(CancelRule("order.placed", ("id",))))
    older, newer = await placed(driver), await placed(driver)
    assert [await driver.status(run) for run in (older, newer)] == [Status.CANCELLED, Status.QUEUED]


async def test_a_condition_reads_both_events(driver: Driver) -> None:
    await driver.register(watched(CancelRule("order.withdrawn", where="async.data.version > event.data.version")))
    run = (await driver.send("order.placed", {"version": 2})).runs[0]
    await driver.send("order.withdrawn", {"version": 2})
    assert await driver.status(run) is Status.QUEUED
    await driver.send("order.withdrawn", {"version": 3})
    assert await driver.status(run) is Status.CANCELLED


async def test_a_condition_that_cannot_be_evaluated_is_told_and_cancels_nothing(driver: Driver) -> None:
    await driver.register(watched(CancelRule("order.withdrawn", where="async.data.n > 1"), WITHDRAWN))
    run = await placed(driver)
    await driver.send("order.withdrawn", {"n": "many", "id": "o2"})
    [unclear] = driver.notices.unclear
    assert (unclear.run, unclear.function) == (run, "shop/order")
    assert await driver.status(run) is Status.QUEUED
    await driver.send("order.withdrawn", {"n": 0, "id": "o1"})
    assert await driver.status(run) is Status.CANCELLED


async def test_a_run_without_an_event_is_matched_by_its_input(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN))
    run = await driver.start("order", msgspec.msgpack.encode({"id": "o1"}))
    await driver.send("order.withdrawn", {"id": "o2"})
    assert await driver.status(run) is Status.QUEUED
    await driver.send("order.withdrawn", {"id": "o1"})
    assert await driver.status(run) is Status.CANCELLED


async def test_a_rule_counts_as_long_as_it_says(driver: Driver) -> None:
    await driver.register(watched(msgspec.structs.replace(WITHDRAWN, timeout_ms=1_000)))
    run = await placed(driver)
    assert driver.notices.next_due_at_ms == driver.now + 1_000
    driver.now += 1_000
    await driver.fire()
    await driver.send("order.withdrawn", {"id": "o1"})
    assert await driver.status(run) is Status.QUEUED


async def test_what_a_run_is_watched_for_is_no_wait_of_its_own(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN, finish_timeout_ms=60_000))
    await placed(driver)
    run = await claimed(driver)
    assert (await driver.checkpoint(run, 1, outcome=Parked())).status is Status.QUEUED


async def test_a_run_that_is_over_is_not_watched(driver: Driver) -> None:
    await driver.register(watched(WITHDRAWN, finish_timeout_ms=60_000))
    await placed(driver)
    run = await claimed(driver)
    await driver.checkpoint(run, 1, outcome=RunCompleted(b""))
    assert driver.notices.next_due_at_ms is None
    await driver.send("order.withdrawn", {"id": "o1"})
    assert (await driver.get(run)).pos == 0


async def test_a_run_that_nobody_takes_in_time_is_cancelled(driver: Driver) -> None:
    await driver.register(watched(start_timeout_ms=5_000))
    run = await placed(driver)
    driver.now += 4_999
    await driver.fire()
    assert await driver.status(run) is Status.QUEUED
    driver.now += 1
    await driver.fire()
    found = await driver.get(run)
    assert (found.status, found.cancel_reason) == (Status.CANCELLED, "it did not start within 5 s")
    assert Happened("cancelled", "shop/order") in driver.notices.happened


async def test_a_run_that_was_taken_has_started_in_time(driver: Driver) -> None:
    await driver.register(watched(start_timeout_ms=5_000))
    await placed(driver)
    run = await claimed(driver)
    await driver.checkpoint(run, 1, outcome=HandedBack())
    driver.now += 5_000
    assert await driver.fire() == 0
    assert await driver.status(run) is Status.QUEUED


async def test_a_run_that_was_taken_stays_even_if_its_function_has_no_limit_any_more(driver: Driver) -> None:
    await driver.register(watched(start_timeout_ms=5_000))
    await placed(driver)
    await driver.register(watched())
    run = await claimed(driver)
    driver.now += 5_000
    await driver.fire()
    assert await driver.status(run) is Status.ASSIGNED


async def test_the_time_to_finish_counts_from_the_first_worker_on(driver: Driver) -> None:
    await driver.register(watched(finish_timeout_ms=5_000))
    await placed(driver)
    driver.now += 60_000
    run = await claimed(driver)
    await driver.checkpoint(run, 1, outcome=HandedBack())
    driver.now += 4_000
    again = await claimed(driver, instance=OTHER)
    driver.now += 1_000
    await driver.fire()
    assert driver.notices.woken[0].entries == (CancelRequested(1, 30_000, "it did not finish within 5 s", driver.now),)
    driver.now += 30_000
    await driver.fire()
    assert await driver.status(again) is Status.CANCELLED


async def test_a_sleeping_run_that_is_too_late_is_woken_to_clean_up(driver: Driver) -> None:
    await driver.register(watched(finish_timeout_ms=5_000))
    await placed(driver)
    run = await claimed(driver)
    await driver.checkpoint(run, 1, WaitOpened("w", Sleep(60_000)), outcome=Parked())
    driver.now += 5_000
    await driver.fire()
    assert await driver.status(run) is Status.READY


async def test_a_worker_cannot_open_what_is_the_engines_own(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("\x01finish", Sleep(1)))
    found = await driver.get(run)
    assert found.failure is not None
    assert (found.status, found.failure.type) == (Status.FAILED, "InvalidFrame")


async def test_rules_that_can_never_be_kept_are_refused_with_the_function_and_the_option(driver: Driver) -> None:
    bad = {
        "'cancel_on', event order.withdrawn": watched(CancelRule("order.withdrawn", where="async.data.(")),
        "'cancel_on', event order.*: a rule names one event": watched(CancelRule("order.*")),
        "6 rules in 'cancel_on'; 5 are supported": watched(*[CancelRule(f"e{n}") for n in range(6)]),
        "'timeouts': start is longer than 366 days": watched(start_timeout_ms=400 * 86_400_000),
        "a path in 'match' has the character 0": watched(CancelRule("stop", ("a\0b",))),
        "its timeout is longer than 366 days": watched(CancelRule("stop", timeout_ms=400 * 86_400_000)),
    }
    for message, manifest in bad.items():
        refused = (await driver.apply(driver.registering(manifest)))[0]
        assert isinstance(refused, Rejected)
        assert message in refused.message
        assert "shop/order" in refused.message
