"""Signals: each ends one wait of its run, at once or later, and none is lost or counts twice."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.rules.waits import SIGNAL
from onward_engine.store.port import SIGNALS_MAX, Purge, SendSignal, Signalled
from onward_protocol.messages import Parked, Returned, RunCompleted, Seen, SignalWait, TimedOut, WaitClosed, WaitOpened

from tests.conformance.driver import Driver

GO = SignalWait("go")


async def waiting(driver: Driver, wait: SignalWait = GO) -> Run:
    """Return a run that is parked and waits for a signal under the key `s`."""
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("s", wait), outcome=Parked())
    return run


async def signal(driver: Driver, run: Run | str, value: bytes = b"\x01", name: str = "go", id: str = "") -> str:
    target = run if isinstance(run, str) else run.id
    return (await driver.one(SendSignal(driver.now, target, name, value, id))).verdict


async def to_waiter(driver: Driver, value: bytes = b"\x01", name: str = "go", id: str = "") -> Signalled:
    """Send a signal to whoever waits for it, as the engine does: look for the run, then make sure."""
    run = await driver.store.waiter(SIGNAL, name.encode())
    return await driver.one(SendSignal(driver.now, run or "", name, value, id, is_for_waiter=True))


async def test_a_signal_ends_the_wait_for_its_name(driver: Driver) -> None:
    run = await waiting(driver)
    assert await signal(driver, run) == "delivered"
    assert [woken.run for woken in driver.notices.woken] == [run.id]
    assert await driver.admit(run) == (Returned(1, "s", b"\x01", driver.now),)


async def test_a_signal_of_another_name_ends_nothing(driver: Driver) -> None:
    run = await waiting(driver)
    assert await signal(driver, run, name="stop") == "kept"
    assert await driver.status(run) is Status.PARKED


async def test_signals_that_come_early_end_the_next_waits_in_their_order(driver: Driver) -> None:
    run = await driver.running()
    assert [await signal(driver, run, bytes([n])) for n in (1, 2)] == ["kept", "kept"]
    await signal(driver, run, b"\x09", name="other")
    await driver.checkpoint(run, 1, WaitOpened("s", GO))
    await driver.checkpoint(run, 2, Seen(1), WaitOpened("t", GO), WaitOpened("u", GO))
    entries = [Returned(1, "s", b"\x01", driver.now), Returned(2, "t", b"\x02", driver.now)]
    assert entries[1] in driver.notices.woken[0].entries
    assert (await driver.get(run)).pos == 2
    assert [item.body for item in await driver.store.items("signal", run.id)] == [b"\x09"]


async def test_each_signal_ends_one_wait(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("s", GO), WaitOpened("t", GO), outcome=Parked())
    await signal(driver, run, b"\x01")
    await signal(driver, run, b"\x02")
    assert await driver.admit(run) == (
        Returned(1, "s", b"\x01", driver.now),
        Returned(2, "t", b"\x02", driver.now),
    )


async def test_a_wait_for_a_signal_has_an_end(driver: Driver) -> None:
    run = await waiting(driver, SignalWait("go", 100))
    driver.now += 100
    await driver.fire()
    assert await driver.admit(run) == (TimedOut(1, "s", driver.now),)
    assert await signal(driver, run) == "kept"


async def test_a_wait_that_the_code_gave_up_leaves_the_signal_to_the_next_one(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("s", GO), WaitClosed("s"))
    assert await signal(driver, run) == "kept"
    await driver.checkpoint(run, 2, WaitOpened("t", GO))
    assert driver.notices.woken[0].entries == (Returned(1, "t", b"\x01", driver.now),)


async def test_a_signal_to_a_run_that_is_over_or_unknown_is_refused(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, outcome=RunCompleted(b""))
    assert await signal(driver, run) == "over"
    assert await signal(driver, "run_nobody") == "unknown"


async def test_a_repeat_with_the_same_id_changes_nothing(driver: Driver) -> None:
    run = await waiting(driver)
    assert [await signal(driver, run, id="once") for _ in range(2)] == ["delivered", "delivered"]
    assert (await driver.get(run)).pos == 1
    assert await driver.store.items("signal", run.id) == []
    assert await signal(driver, run, b"\x02", id="once") == "conflict"


async def test_an_id_is_forgotten_after_a_day(driver: Driver) -> None:
    run = await waiting(driver)
    await signal(driver, run, id="once")
    driver.now += 24 * 60 * 60 * 1000
    assert await signal(driver, run, id="once") == "kept"


async def test_more_signals_than_a_run_can_have_are_refused(driver: Driver) -> None:
    run = await driver.running()
    ops = [SendSignal(driver.now, run.id, "go", b"\x01") for _ in range(SIGNALS_MAX + 1)]
    verdicts = [one.verdict for one in await driver.apply(*ops)]
    assert verdicts == ["kept"] * SIGNALS_MAX + ["full"]


async def test_a_signal_without_a_run_goes_to_the_oldest_one_that_waits(driver: Driver) -> None:
    first, second = await waiting(driver), await waiting(driver)
    assert await to_waiter(driver) == Signalled("delivered", first.id)
    assert await to_waiter(driver) == Signalled("delivered", second.id)
    assert (await to_waiter(driver)).verdict == "not_waiting"


async def test_a_signal_without_a_run_is_not_kept_by_one_that_does_not_wait_any_more(driver: Driver) -> None:
    run = await waiting(driver)
    op = SendSignal(driver.now, run.id, "go", b"\x01", is_for_waiter=True)
    assert [one.verdict for one in await driver.apply(op, op)] == ["delivered", "not_waiting"]
    assert await driver.store.items("signal", run.id) == []


async def test_a_repeat_of_a_signal_without_a_run_names_the_run_that_has_it(driver: Driver) -> None:
    run = await waiting(driver)
    await to_waiter(driver, id="once")
    await waiting(driver)
    assert await to_waiter(driver, id="once") == Signalled("delivered", run.id)
    assert await driver.store.waiter(SIGNAL, b"go") is not None


async def test_the_end_of_a_run_ends_its_waits_for_signals(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("s", GO), outcome=RunCompleted(b""))
    assert await driver.store.waiter(SIGNAL, b"go") is None


async def test_signals_that_nobody_took_are_deleted_with_their_run(driver: Driver) -> None:
    run = await driver.running()
    await signal(driver, run)
    await driver.checkpoint(run, 1, outcome=RunCompleted(b""))
    driver.now += 10
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert await driver.store.items("signal", run.id) == []
