"""What is over long enough goes, with all that belongs to it; what anybody may still need stays."""

from __future__ import annotations

from onward_engine.model import Run
from onward_engine.store.port import Purge, Purged
from onward_protocol.messages import EventWait, Failure, Parked, RunCompleted, RunFailed, StepDone, WaitOpened

from tests.conformance.driver import Driver, function

DONE = RunCompleted(b"\xc0")
DAY = 24 * 60 * 60 * 1000


async def purge(driver: Driver, *, limit: int = 500, **changes: int | None) -> Purged:
    """Delete whatever is older than this moment."""
    return await driver.one(Purge(driver.now, driver.now, driver.now, limit=limit, **changes))


async def ended(driver: Driver, steps: int = 1) -> Run:
    run = await driver.running()
    for seq in range(1, steps + 1):
        await driver.checkpoint(run, seq, StepDone(f"step#{seq}", bytes(8)))
    await driver.checkpoint(run, steps + 1, outcome=DONE)
    driver.now += 10
    return run


async def test_a_run_that_is_over_goes_with_its_journal(driver: Driver) -> None:
    run = await ended(driver)
    assert (await purge(driver)).runs == 1
    assert await driver.store.run(run.id) is None
    assert await driver.store.steps(run.id) == await driver.store.steps("run_nobody")


async def test_many_runs_go_at_once(driver: Driver) -> None:
    runs = [(await driver.send("work.asked", {"n": n})).runs[0] for n in range(120)]
    for assignment in await driver.claim("work", limit=120):
        await driver.checkpoint(assignment.run, 1, outcome=DONE)
    driver.now += 400 * DAY
    assert (await purge(driver)).runs == len(runs)
    assert [await driver.store.run(run) for run in runs] == [None] * len(runs)


async def test_a_run_that_goes_on_stays_however_old_it_is(driver: Driver) -> None:
    run = await driver.running()
    driver.now += 400 * DAY
    assert (await purge(driver)).runs == 0
    assert (await driver.checkpoint(run, 1, StepDone("late#1", b"\x01"))).verdict == "applied"


async def test_what_ended_only_now_stays_and_older_ones_behind_it_go(driver: Driver) -> None:
    slow = await driver.running()
    quick = await ended(driver)
    cutoff = driver.now
    await driver.checkpoint(slow, 1, outcome=DONE, now_ms=cutoff + 5)
    purged = await driver.one(Purge(cutoff + 10, cutoff, cutoff))
    assert purged.runs == 1
    assert await driver.store.run(quick.id) is None
    assert await driver.store.run(slow.id) is not None


async def test_a_long_journal_goes_in_bounded_transactions(driver: Driver) -> None:
    run = await ended(driver, steps=25)
    other = await ended(driver)
    after: int | None = 0
    calls = 0
    while after is not None:
        purged = await purge(driver, limit=10, after_run=after, after_event=None)
        after, calls = purged.after_run, calls + 1
    assert calls >= 3
    assert await driver.store.run(run.id) is None
    assert await driver.store.run(other.id) is None


async def test_an_event_stays_as_long_as_a_run_that_is_made_of_it(driver: Driver) -> None:
    accepted = await driver.send("work.asked", {"n": 1})
    (assignment,) = await driver.claim("work")
    driver.now += 400 * DAY
    await purge(driver)
    assert await driver.store.event(accepted.id) is not None
    await driver.checkpoint(assignment.run, 1, outcome=DONE)
    driver.now += 10
    await purge(driver)
    assert await driver.store.run(assignment.run.id) is None
    assert await driver.store.event(accepted.id) is None


async def test_an_event_that_started_nothing_goes_by_its_own_age(driver: Driver) -> None:
    accepted = await driver.send("nobody.asked")
    young = await driver.send("nobody.asked")
    driver.now += 10
    cutoff = driver.now
    await driver.send("nobody.asked")
    purged = await driver.one(Purge(cutoff, cutoff, cutoff))
    assert purged.events == 2
    assert await driver.store.event(accepted.id) is None
    assert await driver.store.event(young.id) is None


async def test_an_event_stays_until_the_handler_of_its_failure_is_gone_too(driver: Driver) -> None:
    await driver.register(function("work", "work.asked", on_failure="shop/child"), function("child"))
    accepted = await driver.send("work.asked")
    (assignment,) = await driver.claim("work")
    await driver.checkpoint(assignment.run, 1, outcome=RunFailed(Failure("ValueError", "no")))
    driver.now += 10
    assert (await purge(driver)).runs == 1
    (handler,) = await driver.claim("child")
    assert [event.id for event in handler.events] == [accepted.id]
    await driver.checkpoint(handler.run, 1, outcome=DONE)
    driver.now += 10
    await purge(driver)
    assert await driver.store.event(accepted.id) is None


async def test_a_wait_that_looks_back_does_not_see_what_is_gone(driver: Driver) -> None:
    await driver.send("order.paid")
    driver.now += 10
    await purge(driver)
    run = await driver.running()
    wait = EventWait("order.paid", after=0)
    applied = await driver.checkpoint(run, 1, WaitOpened("paid#1", wait), outcome=Parked())
    assert applied.status == "parked"


async def test_a_pass_ends_where_the_young_begin(driver: Driver) -> None:
    await ended(driver)
    cutoff = driver.now
    await ended(driver)
    purged = await driver.one(Purge(cutoff + 100, cutoff, cutoff, limit=2))
    assert (purged.runs, purged.after_run) == (1, None)
