"""What a commit says has happened to runs, for whoever counts."""

from __future__ import annotations

from typing import cast

from onward_engine.store.port import Ingest, NewEvent, StartRun
from onward_protocol.limits import Limits
from onward_protocol.messages import Event, Failure, RunCompleted, RunFailed, Sleep, StepDone, WaitOpened

from tests.conformance.driver import Driver, function

WORK = "shop/work"


def happened(driver: Driver) -> list[tuple[str, str]]:
    """What the last batch tells."""
    return [(one.what, one.function) for one in driver.notices.happened]


async def test_a_run_is_started_and_ends_once(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/amends"), function("amends"))
    await driver.start("work")
    assert happened(driver) == [("started", WORK)]
    for outcome, told in (
        (RunCompleted(b"\xc0"), [("completed", WORK)]),
        (RunFailed(Failure("E", "")), [("failed", WORK), ("started", "shop/amends")]),
    ):
        run = await driver.running()
        await driver.checkpoint(run, 1, StepDone("a", b"\x01"), outcome=outcome)
        assert happened(driver) == told
        await driver.checkpoint(run, 1, StepDone("a", b"\x01"), outcome=outcome)
        assert happened(driver) == []


async def test_a_cancelled_run_is_counted_when_it_is_over(driver: Driver) -> None:
    run = await driver.running()
    await driver.cancel(run, cleanup_ms=1_000)
    assert happened(driver) == []
    driver.now += 1_000
    await driver.fire()
    assert happened(driver) == [("cancelled", WORK)]


async def test_an_orphan_that_its_worker_takes_back_is_no_takeover(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("nap", Sleep(60_000)))
    await driver.orphan()
    assert happened(driver) == [("orphaned", WORK)]
    await driver.checkpoint(run, 2, StepDone("a", b"\x01"), generation=2)
    assert happened(driver) == []


async def test_takeovers_strikes_and_charges_are_told_with_the_claim(driver: Driver) -> None:
    await driver.running()
    told: list[list[str]] = []
    for _ in range(Limits().losses_max):
        await driver.orphan()
        driver.now += 60_000
        await driver.claim("work")
        told.append([what for what, _ in happened(driver)])
    assert told == [["taken_over", "struck"]] * (len(told) - 1) + [["taken_over", "struck", "charged"]]


async def test_nothing_has_happened_of_what_was_rejected(driver: Driver) -> None:
    await driver.register(function("work", "work.asked"))
    broken = Event("evt_x", "work.asked", cast("bytes", 7), 1, 0)
    first, last = (StartRun(driver.now, id, WORK, b"") for id in ("run_a", "run_b"))
    await driver.apply(first, Ingest(driver.now, (NewEvent(broken),)), last)
    assert happened(driver) == [("started", WORK)] * 2
