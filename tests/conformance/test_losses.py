"""Runs under which one worker after the other dies."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_protocol.codec import decode_engine_entries
from onward_protocol.messages import AttemptFailed, Failure, HandedBack, StepDone, WorkerLosses

from tests.conformance.driver import Driver, function

MINUTE_MS = 60_000


async def lose(driver: Driver, run: Run, times: int = 1) -> Run:
    """Take the run over so many times; return it as its next worker gets it."""
    for _ in range(times):
        await driver.orphan()
        driver.now += MINUTE_MS
        [assignment] = await driver.claim("work")
        run = assignment.run
    return run


async def test_strikes_survive_claims_and_reopening(driver: Driver) -> None:
    run = await lose(driver, await driver.running(), times=3)
    assert (run.strikes, (await driver.get(run)).strikes) == (3, 3)


async def test_progress_forgets_strikes(driver: Driver) -> None:
    run = await lose(driver, await driver.running(), times=3)
    await driver.checkpoint(run, 1, AttemptFailed("a", 1, Failure("E", ""), 1_000))
    assert (await driver.get(run)).strikes == 3
    await driver.checkpoint(run, 2, StepDone("a", b""))
    assert (await driver.get(run)).strikes == 0


async def test_starts_of_the_engine_and_what_a_worker_hands_back_are_no_strikes(driver: Driver) -> None:
    run = await driver.running()
    for _ in range(5):
        await driver.boot()
        driver.now += MINUTE_MS
        [assignment] = await driver.claim("work")
        await driver.checkpoint(assignment.run, 1, outcome=HandedBack())
        [assignment] = await driver.claim("work")
        await driver.orphan(unfinished=((run.id, assignment.run.epoch),))
        [assignment] = await driver.claim("work")
        await driver.give_back(assignment.run)
        [assignment] = await driver.claim("work")
        assert assignment.run.strikes == 0


async def test_a_run_waits_longer_after_each_strike_and_its_holder_may_come_back_meanwhile(driver: Driver) -> None:
    run = await lose(driver, await driver.running(), times=2)
    await driver.orphan(grace_ms=1_000)
    driver.now += 1_999
    assert await driver.claim("work") == ()
    driver.now += 1
    assert [assignment.run.id for assignment in await driver.claim("work")] == [run.id]


async def test_a_suspect_run_is_claimed_alone_and_the_others_are_announced(driver: Driver) -> None:
    suspect = await lose(driver, await driver.running(), times=2)
    others = [await driver.start("work") for _ in range(3)]
    await driver.orphan()
    driver.now += MINUTE_MS
    claims = [await driver.claim("work"), await driver.claim("work")]
    assert [[assignment.run.id for assignment in claim] for claim in claims] == [[suspect.id], others]


async def test_what_stands_before_a_suspect_run_is_claimed_without_it(driver: Driver) -> None:
    await driver.register(function("work"), function("calm"))
    calm = await driver.running("calm")
    suspect = await lose(driver, await driver.running(), times=2)
    await driver.give_back(calm)
    await driver.orphan()
    driver.now += MINUTE_MS
    claim = await driver.claim("calm", "work")
    assert [assignment.run.id for assignment in claim] == [calm.id]
    assert driver.notices.queued == {"shop/calm", "shop/work"}
    assert [assignment.run.id for assignment in await driver.claim("calm", "work")] == [suspect.id]


async def test_the_fifth_loss_is_charged_to_the_step_in_flight(driver: Driver) -> None:
    run = await lose(driver, await driver.running(), times=4)
    await driver.orphan()
    driver.now += MINUTE_MS
    [assignment] = await driver.claim("work")
    [entry] = [entry for data in assignment.entries for entry in decode_engine_entries(data)]
    assert (assignment.run.id, entry) == (run.id, WorkerLosses(1, 5, driver.now))


async def test_a_run_that_kills_ten_workers_before_its_first_step_fails_and_its_handler_starts(driver: Driver) -> None:
    await driver.register(function("work", on_failure="shop/sorry"), function("sorry"))
    run = await lose(driver, await driver.running(), times=9)
    await driver.orphan()
    driver.now += MINUTE_MS
    assert await driver.claim("work") == ()
    ended = await driver.get(run)
    assert (ended.status, ended.failure and ended.failure.type) == (Status.FAILED, "WorkerLost")
    [handler] = await driver.claim("sorry")
    assert handler.run.cause == ended.failure
