"""Several replicas on one store: who lives, and who goes on with the workers of one that does not."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.store.port import Company, Enter, Entered, GiveBack, Present, TakenOver, TakeOver
from onward_protocol.messages import EventWait, Parked, WaitOpened

from tests.conformance.driver import OTHER, WORKER, Driver, held

DEAD_MS = 5_000
ADOPTION_MS = 4_000


async def beat(driver: Driver, replica: str) -> Company:
    return await driver.one(Present(driver.now, replica, DEAD_MS))


async def take_over(driver: Driver, replica: str, *, limit: int = 10) -> TakenOver:
    op = TakeOver(driver.now, replica, driver.now - DEAD_MS, driver.now + ADOPTION_MS, limit)
    return await driver.one(op)


async def enter(driver: Driver, instance: str, replica: str, *runs: Run) -> Entered:
    answer = await driver.one(Enter(driver.now, instance, "s", 1, "s", replica, tuple(map(held, runs))))
    assert isinstance(answer, Entered), answer
    return answer


async def running_at(driver: Driver, replica: str, instance: str = WORKER) -> Run:
    session = await enter(driver, instance, replica)
    return await driver.running(instance=instance, generation=session.generation)


async def test_a_replica_lives_since_its_first_beat(driver: Driver) -> None:
    first = driver.now
    await beat(driver, "a")
    driver.now += 4_000
    assert await beat(driver, "a") == Company(since_at_ms=first)


async def test_a_replica_is_silent_when_it_has_not_beaten_for_the_dead_time(driver: Driver) -> None:
    await beat(driver, "a")
    await beat(driver, "b")
    driver.now += DEAD_MS - 1
    assert (await beat(driver, "b")).silent == ()
    driver.now += 1
    assert (await beat(driver, "b")).silent == ("a",)


async def test_a_replica_that_beats_is_not_taken_over(driver: Driver) -> None:
    run = await running_at(driver, "a")
    driver.now += DEAD_MS
    await beat(driver, "a")
    assert await take_over(driver, "a") == TakenOver(0, is_done=True)
    assert await driver.status(run) is Status.ASSIGNED


async def test_the_runs_of_a_dead_replicas_workers_wait_for_them_and_then_go_to_anybody(driver: Driver) -> None:
    run, elsewhere = await running_at(driver, "a"), await running_at(driver, "b", OTHER)
    driver.now += DEAD_MS
    await beat(driver, "b")
    assert await take_over(driver, "a") == TakenOver(1, is_done=True, is_dropped=True)
    assert await take_over(driver, "a") == TakenOver(0, is_done=True)  # it was somebody else
    assert (await driver.status(run), await driver.status(elsewhere)) == (Status.ORPHANED, Status.ASSIGNED)
    driver.now += ADOPTION_MS - 1
    assert await driver.claim("work", instance=OTHER, generation=2) == ()
    driver.now += 1
    [assignment] = await driver.claim("work", instance=OTHER, generation=2)
    assert (assignment.run.id, assignment.run.epoch) == (run.id, 2)


async def test_nobody_gets_a_run_while_its_worker_may_still_have_a_lease(driver: Driver) -> None:
    await beat(driver, "a")
    run = await running_at(driver, "a")
    driver.now += DEAD_MS
    op = TakeOver(driver.now, "a", driver.now - DEAD_MS, driver.now + ADOPTION_MS, 10, lease_ms=15_000)
    assert (await driver.one(op)).runs == 1
    driver.now += 15_000 - DEAD_MS - 1
    assert await driver.claim("work", instance=OTHER) == ()
    driver.now += 1
    assert [assignment.run.id for assignment in await driver.claim("work", instance=OTHER)] == [run.id]


async def test_a_worker_that_has_reached_another_replica_keeps_its_runs(driver: Driver) -> None:
    run = await running_at(driver, "a")
    answer = await enter(driver, WORKER, "b", run)
    driver.now += DEAD_MS
    assert await take_over(driver, "a") == TakenOver(0, is_done=True, is_dropped=True)
    assert (answer.resumed[0].owned, await driver.status(run)) == (True, Status.ASSIGNED)


async def test_an_orphan_of_a_dead_replica_is_adopted_at_the_same_epoch(driver: Driver) -> None:
    run = await running_at(driver, "a")
    driver.now += DEAD_MS
    await take_over(driver, "a")
    answer = await enter(driver, WORKER, "b", run)
    assert (answer.resumed[0].owned, answer.resumed[0].epoch) == (True, run.epoch)
    assert await driver.status(run) is Status.ASSIGNED


async def test_what_is_parked_stays_parked_when_its_replica_dies(driver: Driver) -> None:
    run = await running_at(driver, "a")
    await driver.checkpoint(run, 1, WaitOpened("e", EventWait("go")), outcome=Parked())
    driver.now += DEAD_MS
    assert await take_over(driver, "a") == TakenOver(0, is_done=True, is_dropped=True)
    assert await driver.status(run) is Status.PARKED


async def test_a_takeover_goes_on_where_the_one_before_has_ended(driver: Driver) -> None:
    runs = [await running_at(driver, "a", f"wrk_{number}") for number in range(5)]
    driver.now += DEAD_MS
    assert await take_over(driver, "a", limit=2) == TakenOver(2, is_done=False)
    assert (await beat(driver, "b")).silent == ("a",)
    assert await take_over(driver, "a", limit=2) == TakenOver(2, is_done=False)
    assert await take_over(driver, "a", limit=2) == TakenOver(1, is_done=True, is_dropped=True)
    assert {await driver.status(run) for run in runs} == {Status.ORPHANED}
    assert (await beat(driver, "b")).silent == ()


async def test_a_replica_that_was_given_up_hears_of_it_though_nobody_has_finished_with_it(driver: Driver) -> None:
    for number in range(3):
        await running_at(driver, "a", f"wrk_{number}")
    driver.now += DEAD_MS
    await take_over(driver, "a", limit=1)
    assert (await beat(driver, "a")).since_at_ms == driver.now
    assert await take_over(driver, "a", limit=1) == TakenOver(0, is_done=True)


async def test_a_replica_that_was_forgotten_begins_anew(driver: Driver) -> None:
    await beat(driver, "a")
    driver.now += DEAD_MS
    await take_over(driver, "a")
    driver.now += 1
    assert (await beat(driver, "a")).since_at_ms == driver.now


async def test_a_replica_that_takes_in_a_worker_lives_as_long_as_the_lease_that_it_gives(driver: Driver) -> None:
    await beat(driver, "a")
    driver.now += DEAD_MS - 1
    await enter(driver, WORKER, "a")
    driver.now += DEAD_MS - 1
    assert (await beat(driver, "b")).silent == ()


async def test_a_beat_that_comes_late_to_the_store_makes_nobody_older(driver: Driver) -> None:
    await beat(driver, "a")
    await driver.one(Present(driver.now - DEAD_MS, "a", DEAD_MS))
    assert (await beat(driver, "b")).silent == ()


async def test_a_beat_that_is_written_twice_says_the_same(driver: Driver) -> None:
    """Its first answer was lost on the way, and the batch is tried again."""
    await beat(driver, "a")
    driver.now += DEAD_MS
    await take_over(driver, "a")
    op = Present(driver.now, "a", DEAD_MS)
    assert await driver.one(op) == await driver.one(op)


async def test_a_worker_that_a_forgotten_replica_takes_in_is_found_by_the_next_takeover(driver: Driver) -> None:
    await running_at(driver, "a")
    driver.now += DEAD_MS
    await take_over(driver, "a")
    run = await running_at(driver, "a")
    driver.now += DEAD_MS
    assert (await beat(driver, "b")).silent == ("a",)
    await take_over(driver, "a")
    assert await driver.status(run) is Status.ORPHANED


async def test_a_replica_that_stops_takes_itself_over(driver: Driver) -> None:
    run = await running_at(driver, "a")
    await beat(driver, "a")
    op = TakeOver(driver.now, "a", driver.now, driver.now, 10)
    assert await driver.one(op) == TakenOver(1, is_done=True, is_dropped=True)
    assert [assignment.run.id for assignment in await driver.claim("work", instance=OTHER)] == [run.id]
    driver.now += DEAD_MS
    assert (await beat(driver, "b")).silent == ()


async def test_a_replica_knows_how_many_others_live(driver: Driver) -> None:
    assert (await beat(driver, "a")).others == 0
    await beat(driver, "b")
    assert (await beat(driver, "a")).others == 1
    driver.now += DEAD_MS
    assert (await beat(driver, "a")).others == 0


async def test_the_death_of_a_replica_is_no_strike_against_what_its_workers_executed(driver: Driver) -> None:
    run = await running_at(driver, "a")
    for number in range(5):
        driver.now += DEAD_MS
        await take_over(driver, "a")
        driver.now += ADOPTION_MS
        session = await enter(driver, f"wrk_{number}", "a")
        await driver.claim("work", instance=f"wrk_{number}", generation=session.generation)
    found = await driver.get(run)
    assert (found.epoch, found.strikes) == (6, 0)


async def test_a_late_replica_does_not_give_back_what_its_worker_executes_elsewhere(driver: Driver) -> None:
    run = await running_at(driver, "a")
    await enter(driver, WORKER, "b", run)
    assert not await driver.one(GiveBack(driver.now, run.id, run.epoch, "unsent", generation=run.generation))
    assert await driver.status(run) is Status.ASSIGNED


async def test_a_start_for_one_engine_forgets_every_replica_before_it(driver: Driver) -> None:
    await beat(driver, "a")
    await driver.boot()
    driver.now += DEAD_MS
    assert (await beat(driver, "b")).silent == ()
