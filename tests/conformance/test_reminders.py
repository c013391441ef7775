"""What a holder may have missed is told again when its replica asks."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.store.port import Remind
from onward_protocol.messages import EventWait, Parked, RunCompleted, Seen, WaitOpened

from tests.conformance.driver import OTHER, WORKER, Driver


async def remind(driver: Driver, run: Run, epoch: int = 1) -> None:
    await driver.one(Remind(driver.now, WORKER, 1, ((run.id, epoch),)))


async def waiting(driver: Driver, *, parked: bool = False) -> Run:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("e", EventWait("go")), outcome=Parked() if parked else None)
    await driver.send("go")
    return await driver.get(run)


async def test_an_entry_that_is_not_marked_is_told_again(driver: Driver) -> None:
    run = await waiting(driver)
    await remind(driver, run)
    assert [(one.run, one.status, len(one.entries)) for one in driver.notices.woken] == [(run.id, Status.ASSIGNED, 1)]


async def test_an_entry_that_is_marked_is_not_told_again(driver: Driver) -> None:
    run = await waiting(driver)
    await driver.checkpoint(run, 2, Seen(1))
    await remind(driver, run)
    assert (driver.notices.woken, driver.notices.fenced) == ([], [])


async def test_a_ready_run_asks_again_for_its_slot(driver: Driver) -> None:
    run = await waiting(driver, parked=True)
    await remind(driver, run)
    assert [(one.run, one.status) for one in driver.notices.woken] == [(run.id, Status.READY)]


async def test_a_parked_run_has_nothing_to_be_told(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("e", EventWait("go")), outcome=Parked())
    await remind(driver, run)
    assert (driver.notices.woken, driver.notices.fenced) == ([], [])


async def test_a_run_that_has_ended_or_that_somebody_else_has_is_to_be_stopped(driver: Driver) -> None:
    ended, taken = await driver.running(), await driver.running()
    await driver.checkpoint(ended, 1, outcome=RunCompleted(b"\x01"))
    await driver.give_back(taken)
    await driver.claim("work", instance=OTHER)
    for run in (ended, taken):
        await remind(driver, run)
        assert [(one.run, one.epoch, one.holder) for one in driver.notices.fenced] == [(run.id, 1, WORKER)]
