"""Callbacks: open before anybody knows of them, answered once, remembered as long as their run goes on."""

from __future__ import annotations

import msgspec
from onward_engine.model import Run, Status
from onward_engine.rules.waits import CALLBACK
from onward_engine.store.port import AnswerCallback
from onward_protocol.messages import (
    CallbackWait,
    Parked,
    Returned,
    RunCompleted,
    Seen,
    TimedOut,
    WaitClosed,
    WaitOpened,
)

from tests.conformance.driver import Driver

HOOK = CallbackWait("secret", None, "http://here/c/secret")


async def waiting(driver: Driver, wait: CallbackWait = HOOK) -> Run:
    """Return a parked run with an open callback under the key `c`."""
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("c", wait))
    await driver.checkpoint(run, 2, Seen(1), outcome=Parked())
    return run


async def answer(driver: Driver, token: str = "secret", value: bytes = b"\x01") -> str:
    return await driver.one(AnswerCallback(driver.now, token, value))


async def test_a_callback_is_said_to_be_open_in_the_commit_that_opens_it(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("c", HOOK))
    word = msgspec.msgpack.encode(("secret", "http://here/c/secret"))
    assert driver.notices.woken[0].entries == (Returned(1, "c!open", word, driver.now),)
    assert await driver.store.waiter(CALLBACK, b"secret") == run.id


async def test_an_answer_ends_the_wait_and_wakes_its_run(driver: Driver) -> None:
    run = await waiting(driver)
    assert await answer(driver) == "answered"
    assert await driver.admit(run) == (Returned(2, "c", b"\x01", driver.now),)


async def test_a_second_answer_is_refused_as_long_as_the_run_goes_on(driver: Driver) -> None:
    run = await waiting(driver)
    assert [await answer(driver), await answer(driver)] == ["answered", "repeated"]
    assert (await driver.get(run)).pos == 2
    await driver.admit(run)
    await driver.checkpoint(run, 3, Seen(2), outcome=RunCompleted(b""))
    assert await answer(driver) == "unknown"


async def test_an_unknown_token_is_unknown(driver: Driver) -> None:
    await waiting(driver)
    assert await answer(driver, "guess") == "unknown"
    assert await driver.store.waiter(CALLBACK, b"guess") is None


async def test_a_callback_that_was_answered_keeps_nobody_parked(driver: Driver) -> None:
    run = await waiting(driver)
    await answer(driver)
    await driver.admit(run)
    await driver.checkpoint(run, 3, Seen(2), outcome=Parked())
    assert await driver.status(run) is Status.QUEUED  # as every run that parks without a wait


async def test_a_callback_whose_time_is_over_takes_no_answer(driver: Driver) -> None:
    run = await waiting(driver, CallbackWait("secret", 100))
    driver.now += 100
    await driver.fire()
    assert await driver.admit(run) == (TimedOut(2, "c", driver.now),)
    assert await answer(driver) == "unknown"


async def test_a_callback_that_the_code_gave_up_takes_no_answer(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("c", HOOK), WaitClosed("c"))
    assert await answer(driver) == "unknown"


async def test_a_token_that_is_no_name_fails_its_run(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("c", CallbackWait("")))
    failed = await driver.get(run)
    assert (failed.status, failed.failure and failed.failure.type) == (Status.FAILED, "InvalidFrame")
