"""Runs that start runs: invoked ones report to their caller once, detached ones live on their own."""

from __future__ import annotations

import msgspec
from onward_engine.model import Run, Status
from onward_engine.store.port import StartRun
from onward_protocol.ids import derived_id
from onward_protocol.messages import (
    Failed,
    Failure,
    Invoke,
    Outcome,
    Parked,
    Returned,
    RunCompleted,
    RunFailed,
    Seen,
    Started,
    TimedOut,
    WaitClosed,
    WaitOpened,
)

from tests.conformance.driver import Driver, function


async def invoking(driver: Driver, timeout_ms: int | None = None) -> tuple[Run, Run]:
    """Return a parked caller and its claimed child."""
    run = await driver.running()
    wait = Invoke("shop/child", b"\x07", timeout_ms)
    await driver.checkpoint(run, 1, WaitOpened("call", wait), outcome=Parked())
    [assignment] = await driver.claim("child")
    return run, assignment.run


async def end(driver: Driver, run: Run, outcome: Outcome) -> None:
    await driver.checkpoint(run, 1, outcome=outcome)


async def test_a_child_gets_the_input_and_an_id_of_its_own(driver: Driver) -> None:
    run, child = await invoking(driver)
    assert (child.id, child.input) == (derived_id("run", run.id, "call"), b"\x07")
    assert (child.parent, child.parent_key) == (run.id, "call")


async def test_the_result_of_a_child_wakes_its_caller_in_the_same_commit(driver: Driver) -> None:
    run, child = await invoking(driver)
    await end(driver, child, RunCompleted(b"\x2a"))
    assert [woken.run for woken in driver.notices.woken] == [run.id]
    assert await driver.admit(run) == (Returned(1, "call", b"\x2a", driver.now),)


async def test_the_failure_of_a_child_is_its_callers_failure_to_handle(driver: Driver) -> None:
    run, child = await invoking(driver)
    failure = Failure("ValueError", "no")
    await end(driver, child, RunFailed(failure))
    assert await driver.admit(run) == (Failed(1, "call", failure, driver.now),)


async def test_a_cancelled_child_fails_its_call(driver: Driver) -> None:
    run, child = await invoking(driver)
    await driver.cancel(child, cleanup_ms=0, reason="not needed")
    entries = await driver.admit(run)
    assert entries is not None
    [entry] = entries
    assert isinstance(entry, Failed)
    assert (entry.failure.type, entry.failure.message) == ("RunCancelled", "not needed")


async def test_a_call_of_an_unknown_function_fails_by_name(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("call", Invoke("shop/nobody", b"")))
    [entry] = driver.notices.woken[0].entries
    assert isinstance(entry, Failed)
    assert (entry.failure.type, "shop/nobody" in entry.failure.message) == ("UnknownFunction", True)


async def test_a_start_of_an_unknown_function_fails_by_name(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Started("s", "shop/nobody", b""))
    assert [entry.pos for entry in driver.notices.woken[0].entries] == [1]


async def test_a_call_that_takes_too_long_times_out_and_ends_its_child(driver: Driver) -> None:
    run, child = await invoking(driver, timeout_ms=100)
    driver.now += 100
    await driver.fire()
    assert await driver.admit(run) == (TimedOut(1, "call", driver.now),)
    assert (await driver.get(child)).cancel_reason is not None
    await end(driver, child, RunCompleted(b""))
    assert (await driver.get(run)).pos == 1


async def test_a_call_without_a_time_has_no_timer(driver: Driver) -> None:
    await invoking(driver)
    assert driver.notices.next_due_at_ms is None


async def test_a_call_that_is_given_up_cancels_its_child(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("call", Invoke("shop/child", b"")))
    await driver.checkpoint(run, 2, WaitClosed("call"))
    assert await driver.status(derived_id("run", run.id, "call")) is Status.CANCELLED
    assert (await driver.get(run)).pos == 0


async def test_a_child_does_not_outlive_its_caller(driver: Driver) -> None:
    run, child = await invoking(driver)
    await driver.cancel(run, cleanup_ms=0)
    assert (await driver.get(child)).cancel_reason is not None
    assert [woken.run for woken in driver.notices.woken] == [child.id]


async def test_a_detached_child_outlives_its_starter(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Started("s", "shop/child", b"\x01"), outcome=RunCompleted(b""))
    [assignment] = await driver.claim("child")
    assert (assignment.run.input, assignment.run.cancel_reason) == (b"\x01", None)
    await end(driver, assignment.run, RunCompleted(b""))
    assert (await driver.get(run)).pos == 1  # that it was started, and nothing of how it ended


async def test_a_start_is_answered_with_the_id_of_its_run_in_the_same_commit(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Started("s", "shop/child", b"\x01"))
    [woken] = driver.notices.woken
    id = derived_id("run", run.id, "s")
    assert woken.entries == (Returned(1, "s", msgspec.msgpack.encode(id), driver.now),)
    assert (await driver.get(id)).parent == run.id


async def test_a_start_that_is_sent_again_starts_nothing_and_has_one_answer(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Started("s", "shop/child", b"\x01"))
    await driver.checkpoint(run, 2, Started("s", "shop/child", b"\x01"))
    assert (await driver.get(run)).pos == 1
    assert len(await driver.claim("child")) == 1


async def test_a_start_whose_id_a_caller_took_fails(driver: Driver) -> None:
    run = await driver.running()
    await driver.one(StartRun(driver.now, derived_id("run", run.id, "s"), "shop/child", b""))
    await driver.checkpoint(run, 1, Started("s", "shop/child", b""))
    [entry] = driver.notices.woken[0].entries
    assert isinstance(entry, Failed)
    assert entry.failure.type == "RunExists"


async def test_a_call_repeated_by_a_replay_is_the_same_child(driver: Driver) -> None:
    run, _ = await invoking(driver)
    await driver.give_back(run, "evicted")
    await driver.cancel(run)
    [again] = await driver.claim("work")
    await driver.checkpoint(again.run, 1, Seen(1), WaitOpened("call", Invoke("shop/child", b"\x07")))
    assert await driver.claim("child") == ()


async def test_a_call_of_a_child_that_is_over_returns_at_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Started("call", "shop/child", b""))
    [child] = await driver.claim("child")
    await end(driver, child.run, RunCompleted(b"\x09"))
    await driver.checkpoint(run, 2, Seen(1), WaitOpened("call", Invoke("shop/child", b"")))
    [woken] = driver.notices.woken
    assert woken.entries == (Returned(2, "call", b"\x09", driver.now),)


async def test_a_call_whose_childs_id_a_caller_took_fails_instead_of_waiting_for_ever(driver: Driver) -> None:
    run = await driver.running()
    await driver.one(StartRun(driver.now, derived_id("run", run.id, "call"), "shop/child", b""))
    await driver.checkpoint(run, 1, WaitOpened("call", Invoke("shop/child", b"")), outcome=Parked())
    [woken] = driver.notices.woken
    assert isinstance(woken.entries[0], Failed)
    assert woken.entries[0].failure.type == "RunExists"


async def test_a_run_fails_although_a_caller_took_the_id_of_its_handler(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/rescue"), function("rescue"))
    run = await driver.running()
    await driver.one(StartRun(driver.now, derived_id("run", run.id, "!on_failure"), "shop/work", b""))
    await end(driver, run, RunFailed(Failure("E", "")))
    assert await driver.status(run) is Status.FAILED


async def test_a_failed_run_is_handled_once_with_its_events_and_its_cause(driver: Driver) -> None:
    await driver.register(function("work", "work.asked", on_failure="shop/rescue"), function("rescue"))
    accepted = await driver.send("work.asked", {"n": 1})
    [assignment] = await driver.claim("work")
    failure = Failure("ValueError", "no")
    await end(driver, assignment.run, RunFailed(failure))
    [rescue] = await driver.claim("rescue")
    assert (rescue.run.cause, rescue.run.parent) == (failure, accepted.runs[0])
    assert [event.data for event in rescue.events] == [b'{"n":1}']


async def test_the_failure_of_a_failure_handler_starts_nothing(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/rescue"), function("rescue", on_failure="shop/rescue"))
    await end(driver, await driver.running(), RunFailed(Failure("E", "")))
    [rescue] = await driver.claim("rescue")
    await end(driver, rescue.run, RunFailed(Failure("E", "")))
    assert await driver.claim("rescue") == ()


async def test_a_failure_handler_of_a_started_run_gets_its_input(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/rescue"), function("rescue"))
    run = await driver.running()
    await end(driver, run, RunFailed(Failure("E", "")))
    [rescue] = await driver.claim("rescue")
    assert rescue.run.input == b"\xc0"


async def test_cancelled_and_completed_runs_are_no_failures(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/rescue"), function("rescue"))
    await end(driver, await driver.running(), RunCompleted(b""))
    await driver.cancel(await driver.running(), cleanup_ms=0)
    assert await driver.claim("rescue") == ()
