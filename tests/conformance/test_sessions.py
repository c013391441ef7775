"""One process, one session; of all its connections, at whatever replica, the newest counts."""

from __future__ import annotations

from typing import Any

from onward_engine.model import Status
from onward_engine.store.port import SUPERSEDED, Claim, Confirm, Denied, Enter, Entered, Orphan, Rejected, TakeOver
from onward_protocol.messages import EventWait, Parked, RunCompleted, StepDone, WaitOpened

from tests.conformance.driver import OTHER, WORKER, Driver, held

DONE = StepDone("a", b"\x01")
DAY_MS = 24 * 60 * 60 * 1000


async def greeted(driver: Driver, session: str = "", generation: int = 0, **changes: Any) -> Entered | Denied:
    options: dict[str, Any] = {"instance": WORKER, "secret": "made", "replica": "here", **changes}
    return await driver.one(Enter(driver.now, session=session, generation=generation, **options))


async def entered(driver: Driver, session: str = "", generation: int = 0, **changes: Any) -> Entered:
    answer = await greeted(driver, session, generation, **changes)
    assert isinstance(answer, Entered), answer
    return answer


async def superseded(driver: Driver, generation: int) -> bool:
    (outcome,) = await driver.apply(Claim(driver.now, f"claim-{driver.now}", WORKER, generation, ("shop/work",), 1))
    return isinstance(outcome, Rejected) and outcome.code == SUPERSEDED


async def test_each_connection_of_a_process_is_a_newer_generation(driver: Driver) -> None:
    first = await entered(driver)
    second = await entered(driver, first.secret, first.generation)
    assert (first.secret, first.generation, second.secret, second.generation) == ("made", 1, "made", 2)


async def test_a_generation_is_never_given_twice_though_its_welcome_was_lost(driver: Driver) -> None:
    first = await entered(driver)
    await entered(driver, first.secret, 1, replica="here")
    again = await entered(driver, first.secret, 1, replica="there")
    assert again.generation == 3


async def test_a_worker_whose_first_welcome_was_lost_may_come_again(driver: Driver) -> None:
    await entered(driver)
    again = await entered(driver, secret="another", replica="there")
    assert (again.secret, again.generation) == ("made", 2)


async def test_another_process_with_the_same_instance_id_is_not_let_in(driver: Driver) -> None:
    await entered(driver)
    await driver.one(Confirm(driver.now, WORKER, 1))
    for shown in ("", "guessed"):
        denied = await greeted(driver, shown, replica="there")
        assert isinstance(denied, Denied)
        assert denied.code == "duplicate_instance"


async def test_a_hello_that_was_overtaken_by_a_newer_connection_is_refused(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    await entered(driver, secret, 1, replica="there")
    await driver.one(Confirm(driver.now, WORKER, 2))
    late = await greeted(driver, secret, 1)
    assert isinstance(late, Denied)
    assert late.code == "stale_generation"


async def test_a_process_that_nobody_remembers_goes_on_with_what_it_knows(driver: Driver) -> None:
    session = await entered(driver, "secret", 7)
    assert (session.secret, session.generation) == ("secret", 8)


async def test_what_a_worker_holds_comes_back_with_its_next_connection_wherever_it_is(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    run = await driver.running()
    unlisted = await driver.running()
    answer = await entered(driver, secret, 1, replica="there", held=(held(run),))
    assert [(one.run, one.epoch, one.owned) for one in answer.resumed] == [(run.id, 1, True)]
    assert (await driver.get(run)).generation == 2
    assert await driver.status(unlisted) is Status.QUEUED
    assert [(one.instance, one.generation) for one in driver.notices.superseded] == [(WORKER, 2)]


async def test_only_another_replica_is_told_that_a_worker_has_moved(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    await entered(driver, secret, 1)
    assert driver.notices.superseded == []


async def test_a_connection_that_is_not_the_newest_gets_no_run(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    await driver.start("work")
    await entered(driver, secret, 1, replica="there")
    assert await superseded(driver, 1)
    assert len(await driver.claim("work", generation=2)) == 1


async def test_a_ready_run_is_not_admitted_on_a_connection_that_is_not_the_newest(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("e", EventWait("go")), outcome=Parked())
    await driver.send("go")
    await entered(driver, secret, 1, replica="there", held=(held(run, last_seq=1, acked_seq=1, state="parked"),))
    assert await driver.admit(run, generation=1) is None
    assert await driver.admit(run, generation=2) is not None


async def test_the_late_close_of_an_older_connection_closes_nothing(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    run = await driver.running()
    await entered(driver, secret, 1, replica="there", held=(held(run),))
    assert await driver.orphan(generation=1) == 0
    assert await driver.status(run) is Status.ASSIGNED
    assert not await superseded(driver, 2)


async def test_frames_that_come_late_from_a_closed_connection_are_stored_and_bring_no_run_back(driver: Driver) -> None:
    await entered(driver)
    run = await driver.running()
    await driver.orphan()
    applied = await driver.checkpoint(run, 1, DONE)
    assert (applied.verdict, applied.status) == ("applied", Status.ORPHANED)
    driver.now += 1_000
    [assignment] = await driver.claim("work", instance=OTHER)
    assert (assignment.run.epoch, len(assignment.segments)) == (2, 1)
    assert (await driver.checkpoint(run, 2, DONE)).verdict == "stale"


async def test_the_last_frame_of_a_closed_connection_ends_or_parks_its_run(driver: Driver) -> None:
    await entered(driver)
    ending, parking = await driver.running(), await driver.running()
    await driver.orphan()
    await driver.checkpoint(ending, 1, outcome=RunCompleted(b"\x01"))
    await driver.checkpoint(parking, 1, WaitOpened("e", EventWait("go")), outcome=Parked())
    driver.now += 1_000
    assert await driver.claim("work", instance=OTHER) == ()
    assert (await driver.status(ending), await driver.status(parking)) == (Status.COMPLETED, Status.PARKED)


async def test_after_a_start_for_one_engine_nobody_is_connected_and_everybody_is_known(driver: Driver) -> None:
    secret = (await entered(driver)).secret
    run = await driver.running()
    await driver.boot()
    assert await superseded(driver, 1)
    answer = await entered(driver, secret, 1, held=(held(run),))
    assert (answer.generation, answer.resumed[0].owned) == (2, True)


async def test_workers_that_are_gone_are_forgotten_after_a_day_and_others_never(driver: Driver) -> None:
    await entered(driver, instance="wrk_gone")
    await driver.one(Orphan(driver.now, "wrk_gone", 1, driver.now))
    await entered(driver, instance="wrk_stays")
    driver.now += DAY_MS + 1
    await entered(driver, instance="wrk_new")
    assert (await entered(driver, instance="wrk_gone")).generation == 1
    assert (await entered(driver, instance="wrk_stays")).generation == 2


async def test_a_worker_is_not_forgotten_while_its_replica_has_it(driver: Driver) -> None:
    await entered(driver)
    await driver.running()
    driver.now += DAY_MS + 1
    await entered(driver, instance=OTHER)
    taken = await driver.one(TakeOver(driver.now, "here", driver.now, driver.now + 5_000, 10))
    assert (taken.runs, taken.is_done) == (1, True)
