"""Paused functions begin nothing new; held runs go no further, and lose nothing of what comes to them meanwhile."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.rules.forks import Past
from onward_engine.store.port import Halted, Op, PauseFunction, PauseRun, Repeat, ResumeRun
from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    ConcurrencyLimit,
    EventWait,
    HandedBack,
    Parked,
    RunCompleted,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import OTHER, WORKER, Driver, function, held

DONE = StepDone("a", b"")


async def pause(driver: Driver, run: Run | str) -> str:
    return await driver.one(PauseRun(driver.now, run if isinstance(run, str) else run.id))


async def resume(driver: Driver, run: Run | str) -> str:
    return await driver.one(ResumeRun(driver.now, run if isinstance(run, str) else run.id))


def pausing(driver: Driver, *, is_paused: bool = True, name: str = "work") -> Op[bool]:
    return PauseFunction(driver.now, f"shop/{name}", is_paused)


# -- functions


async def test_a_paused_function_keeps_its_new_runs_until_it_is_resumed(driver: Driver) -> None:
    assert await driver.one(pausing(driver))
    run = await driver.start("work")
    assert await driver.claim("work") == ()
    assert await driver.status(run) is Status.QUEUED
    await driver.one(pausing(driver, is_paused=False))
    assert driver.notices.queued == {"shop/work"}
    assert [one.run.id for one in await driver.claim("work")] == [run]


async def test_runs_that_have_started_go_on_while_their_function_is_paused(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=HandedBack())
    await driver.start("work")
    await driver.one(pausing(driver))
    assert [one.run.id for one in await driver.claim("work")] == [run.id]


async def test_other_functions_are_not_paused(driver: Driver) -> None:
    await driver.one(pausing(driver))
    run = await driver.start("child")
    assert [one.run.id for one in await driver.claim("work", "child")] == [run]


async def test_a_pause_survives_a_registration(driver: Driver) -> None:
    await driver.one(pausing(driver))
    await driver.register(function("work", "work.asked", "work.asked.again"), function("child"))
    await driver.start("work")
    assert await driver.claim("work") == ()


async def test_a_pause_counts_within_its_own_transaction_and_may_be_repeated(driver: Driver) -> None:
    run = await driver.start("work")
    outcomes = await driver.apply(pausing(driver), pausing(driver))
    assert outcomes == (True, True)
    told = [driver.notices.registered]
    await driver.one(pausing(driver))
    told.append(driver.notices.registered)
    assert told == [True, False], "nobody has to look again"
    await driver.one(pausing(driver, is_paused=False))
    assert [one.run.id for one in await driver.claim("work")] == [run]


async def test_a_function_that_nobody_offers_cannot_be_paused(driver: Driver) -> None:
    assert not await driver.one(pausing(driver, name="nobody"))


# -- runs


async def test_a_queued_run_that_is_paused_is_not_claimed(driver: Driver) -> None:
    run = await driver.start("work")
    assert await pause(driver, run) == "paused"
    assert await driver.claim("work") == ()
    assert (await driver.get(run)).is_paused
    assert await resume(driver, run) == "resumed"
    assert [one.run.id for one in await driver.claim("work")] == [run]


async def test_an_executing_run_is_handed_back_and_then_kept(driver: Driver) -> None:
    run = await driver.running()
    assert await pause(driver, run) == "pausing"
    assert driver.notices.halted == [Halted(run.id, run.epoch, WORKER, 1)]
    assert (await driver.checkpoint(run, 1, DONE, outcome=HandedBack())).status is Status.QUEUED
    assert await driver.claim("work") == ()
    await resume(driver, run)
    [assignment] = await driver.claim("work", instance=OTHER)
    assert (assignment.run.id, assignment.run.strikes) == (run.id, 0)


async def test_a_run_that_ends_before_its_boundary_has_ended(driver: Driver) -> None:
    run = await driver.running()
    await pause(driver, run)
    await driver.checkpoint(run, 1, outcome=RunCompleted(b""))
    assert await driver.status(run) is Status.COMPLETED
    assert await pause(driver, run) == "terminal"
    assert await resume(driver, run) == "terminal"


async def test_what_a_held_run_waits_for_still_comes(driver: Driver) -> None:
    run = await driver.running()
    waits = (WaitOpened("e", EventWait("go")), WaitOpened("s", Sleep(500)))
    await driver.checkpoint(run, 1, *waits, outcome=Parked())
    assert await pause(driver, run) == "paused"
    await driver.send("go")
    driver.now += 500
    assert await driver.fire() == 1
    assert driver.notices.woken == []
    assert (await driver.get(run)).pos == 2
    assert await driver.admit(run) is None
    assert await driver.claim("work") == ()
    await resume(driver, run)
    assert [woken.status for woken in driver.notices.woken] == [Status.READY]
    entries = await driver.admit(run)
    assert entries is not None
    assert [entry.pos for entry in entries] == [1, 2]


async def test_a_held_run_gives_its_place_to_the_next_one(driver: Driver) -> None:
    await driver.register(function("work", concurrency=(ConcurrencyLimit(1),)))
    first, second = await driver.start("work"), await driver.start("work")
    await pause(driver, first)
    assert [one.run.id for one in await driver.claim("work")] == [second]
    await resume(driver, first)
    assert await driver.claim("work") == ()
    found = await driver.get(second)
    await driver.checkpoint(found, 1, outcome=RunCompleted(b""))
    assert [one.run.id for one in await driver.claim("work")] == [first]


async def test_a_lost_holder_hears_of_the_pause_when_it_comes_back(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    assert await pause(driver, run) == "paused"
    assert await driver.claim("work", instance=OTHER) == ()
    [answer] = await driver.resume(held(run))
    assert answer.owned
    assert driver.notices.halted == [Halted(run.id, run.epoch, WORKER, 2)]


async def test_a_cancelled_run_cleans_up_although_it_is_held(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=HandedBack())
    await pause(driver, run)
    assert await driver.cancel(run) == "cancelling"
    assert [one.run.id for one in await driver.claim("work")] == [run.id]
    assert await pause(driver, run) == "cancelling"


async def test_a_held_run_that_never_started_is_cancelled_at_once(driver: Driver) -> None:
    run = await driver.start("work")
    await pause(driver, run)
    assert await driver.cancel(run) == "cancelled"


async def test_a_fork_that_is_cancelled_cleans_up_although_its_function_is_paused(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=RunCompleted(b""))
    begun = Past(origins=(run.id,), frames=((1, 1, encode_entries((DONE,))),), steps=1)
    await driver.one(Repeat(driver.now, "run_fork", run.id, past=begun))
    await driver.one(pausing(driver))
    assert await driver.cancel("run_fork") == "cancelling"
    assert [one.run.id for one in await driver.claim("work")] == ["run_fork"]


async def test_pausing_and_resuming_may_be_repeated(driver: Driver) -> None:
    run = await driver.start("work")
    assert [await pause(driver, run), await pause(driver, run)] == ["paused", "paused"]
    assert [await resume(driver, run), await resume(driver, run)] == ["resumed", "resumed"]
    assert [await pause(driver, "run_nobody"), await resume(driver, "run_nobody")] == ["unknown", "unknown"]


async def test_a_held_run_stays_held_over_a_restart(driver: Driver) -> None:
    run = await driver.running()
    await pause(driver, run)
    await driver.boot(wait_ms=1_000)
    driver.now += 1_000
    await driver.fire()
    assert await driver.claim("work", instance=OTHER) == ()
    await resume(driver, run)
    assert [one.run.id for one in await driver.claim("work", instance=OTHER)] == [run.id]


async def test_a_lost_holder_that_does_not_come_back_in_time_loses_the_paused_run(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    await pause(driver, run)
    driver.now += 60_000
    await driver.fire()
    new = await driver.start("work")
    assert [one.run.id for one in await driver.claim("work", instance=OTHER, limit=2)] == [new]
    assert [fenced.run for fenced in driver.notices.fenced] == [run.id]
    assert driver.notices.queued == {"shop/work"}, "there may be more behind it"
    [answer] = await driver.resume(held(run))
    assert not answer.owned
    await resume(driver, run)
    assert [one.run.id for one in await driver.claim("work", instance=OTHER)] == [run.id]


async def test_an_orphan_keeps_its_place_while_its_holder_may_execute_it(driver: Driver) -> None:
    await driver.register(function("work", concurrency=(ConcurrencyLimit(1),)))
    run = await driver.running()
    await driver.start("work")
    await driver.orphan()
    await pause(driver, run)
    assert await driver.claim("work", instance=OTHER) == ()
    driver.now += 60_000
    assert await driver.claim("work", instance=OTHER) == ()
    assert [one.run.id for one in await driver.claim("work", instance=OTHER)] != [run.id]


async def test_a_holder_on_a_new_connection_hears_of_the_pause_although_it_was_never_lost(driver: Driver) -> None:
    run = await driver.running()
    await pause(driver, run)
    await driver.resume(held(run))
    assert driver.notices.halted == [Halted(run.id, run.epoch, WORKER, 2)]


async def test_a_frame_of_a_lost_holder_brings_it_the_news_of_the_pause(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    await pause(driver, run)
    assert (await driver.checkpoint(run, 1, DONE, generation=2)).status is Status.ASSIGNED
    assert driver.notices.halted == [Halted(run.id, run.epoch, WORKER, 2)]
