"""Who has a run: through lost sockets, returns, restarts and takeovers, always exactly somebody."""

from __future__ import annotations

import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import Orphan
from onward_protocol.messages import (
    EventWait,
    HandedBack,
    Parked,
    RunCompleted,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import OTHER, WORKER, Driver, held

DONE = StepDone("a", b"\x01")


async def parked(driver: Driver) -> Run:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", Sleep(100)), WaitOpened("e", EventWait("go")), outcome=Parked())
    return await driver.get(run)


async def ready(driver: Driver) -> Run:
    run = await parked(driver)
    await driver.send("go")
    return await driver.get(run)


async def test_an_orphaned_run_keeps_its_epoch_and_can_be_claimed_after_the_grace(driver: Driver) -> None:
    run = await driver.running()
    assert await driver.orphan(grace_ms=1_000) == 1
    assert (await driver.status(run), driver.notices.next_due_at_ms) == (Status.ORPHANED, driver.now + 1_000)
    driver.now += 999
    assert await driver.claim("work", instance=OTHER) == ()
    driver.now += 1
    [assignment] = await driver.claim("work", instance=OTHER)
    assert assignment.run.epoch == 2
    assert [(fenced.run, fenced.epoch, fenced.holder) for fenced in driver.notices.fenced] == [(run.id, 1, WORKER)]


async def test_waiting_is_over_is_announced_by_the_timers(driver: Driver) -> None:
    await driver.running()
    await driver.orphan(grace_ms=1_000)
    driver.now += 1_000
    await driver.fire()
    assert driver.notices.queued == {"shop/work"}


async def test_until_it_is_claimed_the_holder_takes_an_orphan_back_at_the_same_epoch(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    driver.now += 60_000
    [answer] = await driver.resume(held(run), generation=2)
    assert (answer.owned, answer.epoch) == (True, run.epoch)
    assert await driver.claim("work", instance=OTHER) == ()
    assert (await driver.checkpoint(run, 1, DONE, generation=2)).verdict == "applied"


async def test_a_frame_takes_an_orphan_back_too(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    applied = await driver.checkpoint(run, 1, DONE, generation=2)
    assert (applied.verdict, applied.status) == ("applied", Status.ASSIGNED)
    assert (await driver.get(run)).generation == 2
    driver.now += 10_000
    assert await driver.claim("work", instance=OTHER) == ()


async def test_the_late_close_of_an_older_connection_changes_nothing(driver: Driver) -> None:
    run = await driver.running(generation=1)
    await driver.resume(held(run), generation=2)
    assert await driver.orphan(generation=1) == 0
    assert await driver.status(run) is Status.ASSIGNED


async def test_a_frame_of_an_older_connection_does_not_bring_it_back(driver: Driver) -> None:
    run = await driver.running(generation=2)
    await driver.checkpoint(run, 1, DONE, generation=1)
    assert (await driver.get(run)).generation == 2


async def test_a_frame_before_the_close_counts_though_both_are_in_one_batch(driver: Driver) -> None:

    run = await driver.running()
    close = Orphan(driver.now, WORKER, 1, driver.now)
    await driver.apply(driver.frame(run, 1, outcome=RunCompleted(b"\x01")), close)
    assert await driver.status(run) is Status.COMPLETED


async def test_a_parked_run_stays_parked_when_its_connection_is_gone(driver: Driver) -> None:
    run = await parked(driver)
    assert await driver.orphan() == 0
    found = await driver.get(run)
    assert (found.status, found.holder) == (Status.PARKED, WORKER)


async def test_a_farewell_hands_on_what_is_unfinished_at_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan(unfinished=((run.id, run.epoch),))
    assert driver.notices.queued == {"shop/work"}
    assert [assignment.run.id for assignment in await driver.claim("work", instance=OTHER)] == [run.id]
    assert driver.notices.fenced == []


async def test_a_farewell_makes_nobody_wait_for_what_was_parked(driver: Driver) -> None:
    run = await parked(driver)
    await driver.orphan(unfinished=())
    assert (await driver.get(run)).holder == ""
    await driver.send("go")
    assert len(await driver.claim("work", instance=OTHER)) == 1


async def test_a_farewell_that_forgets_a_run_orphans_it(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan(unfinished=())
    assert await driver.status(run) is Status.ORPHANED


async def test_a_run_that_a_worker_cannot_take_is_claimable_at_once(driver: Driver) -> None:
    run = await driver.running()
    assert await driver.give_back(run)
    assert len(await driver.claim("work", instance=OTHER)) == 1


async def test_a_return_of_an_older_epoch_changes_nothing(driver: Driver) -> None:
    run = await driver.running()
    await driver.give_back(run)
    await driver.claim("work", instance=OTHER)
    assert not await driver.give_back(run)
    assert (await driver.get(run)).holder == OTHER


async def test_a_return_counts_once(driver: Driver) -> None:
    run = await parked(driver)
    assert await driver.give_back(run, "evicted")
    assert not await driver.give_back(run, "evicted")
    assert await driver.status(run) is Status.PARKED


async def test_an_evicted_run_that_is_ready_goes_to_anybody(driver: Driver) -> None:
    run = await ready(driver)
    await driver.give_back(run, "evicted")
    [assignment] = await driver.claim("work", instance=OTHER)
    assert (len(assignment.segments), len(assignment.entries)) == (1, 1)


async def test_a_worker_that_comes_back_gets_every_entry_that_it_does_not_know(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("a", EventWait("go")), WaitOpened("b", EventWait("go")))
    await driver.orphan()
    await driver.send("go")
    [answer] = await driver.resume(held(run, last_seq=1, acked_seq=1, known=1))
    assert (answer.seq, [entry.pos for entry in answer.entries]) == (1, [2])


async def test_a_parked_run_is_parked_on_the_new_connection(driver: Driver) -> None:
    run = await parked(driver)
    [answer] = await driver.resume(held(run, state="parked"), generation=2)
    assert answer.owned
    await driver.send("go")
    [woken] = driver.notices.woken
    assert (woken.status, woken.generation) == (Status.READY, 2)


async def test_a_ready_run_is_offered_to_its_holder_again_when_it_comes_back(driver: Driver) -> None:
    run = await ready(driver)
    [answer] = await driver.resume(held(run, known=0, state="parked"), generation=2)
    assert (answer.owned, answer.entries) == (True, ())
    assert [(woken.status, woken.generation) for woken in driver.notices.woken] == [(Status.READY, 2)]
    entries = await driver.admit(run, generation=2)
    assert entries is not None
    assert len(entries) == 1


@pytest.mark.parametrize("known", [0, 1])
async def test_a_wake_that_was_lost_with_the_socket_is_repeated(driver: Driver, known: int) -> None:
    run = await ready(driver)
    await driver.admit(run)
    await driver.orphan()
    [answer] = await driver.resume(held(run, known=known, state="parked"))
    assert (answer.owned, answer.entries) == (True, ())
    assert [(woken.status, woken.generation) for woken in driver.notices.woken] == [(Status.READY, 2)]
    entries = await driver.admit(run, generation=2)
    assert entries is not None
    assert [entry.pos for entry in entries] == [1]


async def test_what_a_worker_does_not_list_is_free_at_once(driver: Driver) -> None:
    running, waiting = await driver.running(), await parked(driver)
    await driver.resume()
    assert (await driver.status(running), (await driver.get(waiting)).holder) == (Status.QUEUED, "")
    assert [assignment.run.id for assignment in await driver.claim("work", instance=OTHER)] == [running.id]


async def test_a_run_that_was_assigned_anew_while_a_worker_has_only_its_end_before_is_free_at_once(
    driver: Driver,
) -> None:
    """The frame that hands it back and the claim were one transaction; then its answer and the assignment got lost."""
    before = await driver.running()
    await driver.checkpoint(before, 1, DONE, outcome=HandedBack())
    await driver.claim("work")
    [answer] = await driver.resume(held(before, last_seq=1, state="ended"))
    assert (answer.owned, await driver.status(before)) == (False, Status.QUEUED)


async def test_what_is_still_on_its_way_to_a_worker_is_not_taken_from_it(driver: Driver) -> None:
    run = await driver.running(generation=2)
    await driver.resume(ignore=(run.id,))
    assert await driver.status(run) is Status.ASSIGNED


async def test_what_was_assigned_to_a_newer_connection_is_not_taken_from_it(driver: Driver) -> None:
    run = await driver.running(generation=3)
    await driver.resume(generation=2)
    assert await driver.status(run) is Status.ASSIGNED


@pytest.mark.parametrize("why", ["unknown", "over", "taken"])
async def test_a_worker_that_holds_what_is_not_its_own_is_fenced(driver: Driver, why: str) -> None:
    run = await driver.running()
    claimed = held(run)
    if why == "unknown":
        claimed = msgspec.structs.replace(claimed, run="run_nobody")
    elif why == "over":
        await driver.checkpoint(run, 1, outcome=RunCompleted(b""))
    else:
        await driver.give_back(run)
        await driver.claim("work", instance=OTHER)
    [answer] = await driver.resume(claimed)
    assert (answer.owned, answer.reason != "") == (False, True)


async def test_a_worker_that_was_told_of_more_than_is_stored_starts_again_from_the_store(driver: Driver) -> None:
    run = await driver.running()
    [answer] = await driver.resume(held(run, last_seq=9, acked_seq=9))
    assert (answer.owned, answer.reason) == (False, "store_regressed")
    assert len(await driver.claim("work", instance=OTHER)) == 1


async def test_after_a_start_held_runs_wait_for_their_holders(driver: Driver) -> None:
    run, waiting, woken = await driver.running(), await parked(driver), await driver.running()
    await driver.checkpoint(woken, 1, WaitOpened("n", EventWait("now")), outcome=Parked())
    await driver.send("now")
    assert await driver.boot(wait_ms=5_000) == 2
    driver.now += 4_999
    assert await driver.claim("work", instance=OTHER) == ()
    assert await driver.status(waiting) is Status.PARKED
    driver.now += 1
    claimed = {assignment.run.id for assignment in await driver.claim("work", instance=OTHER)}
    assert claimed == {run.id, woken.id}


async def test_generations_of_an_earlier_engine_mean_nothing_to_the_next(driver: Driver) -> None:
    run, waiting = await driver.running(), await parked(driver)
    await driver.resume(held(run), held(waiting, state="parked"), generation=9)
    await driver.boot()
    await driver.resume(held(run), held(waiting, state="parked"), generation=3)
    await driver.send("go")
    assert [woken.generation for woken in driver.notices.woken] == [3]
    assert await driver.orphan(generation=3) == 1
    assert await driver.status(run) is Status.ORPHANED


async def test_a_second_start_in_the_grace_begins_it_anew(driver: Driver) -> None:
    run = await driver.running()
    await driver.boot(wait_ms=5_000)
    driver.now += 4_000
    assert await driver.boot(wait_ms=5_000) == 1
    driver.now += 4_000
    assert await driver.claim("work", instance=OTHER) == ()
    assert (await driver.resume(held(run)))[0].owned


async def test_an_orphan_may_finish(driver: Driver) -> None:
    run = await driver.running()
    await driver.orphan()
    await driver.checkpoint(run, 1, DONE, outcome=RunCompleted(b"\x05"), generation=2)
    assert await driver.status(run) is Status.COMPLETED
    driver.now += 10_000
    await driver.fire()
    assert await driver.claim("work", instance=OTHER) == ()


async def test_entries_that_came_before_a_frame_took_the_run_back_are_told(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("e", EventWait("go")))
    await driver.orphan()
    await driver.send("go")
    await driver.checkpoint(run, 2, DONE, generation=2)
    assert [(w.status, w.generation, len(w.entries)) for w in driver.notices.woken] == [(Status.ASSIGNED, 2, 1)]
