"""Runs are handed out: in order, each once, and never more of a key than it allows."""

from __future__ import annotations

import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import Claim
from onward_protocol.messages import ConcurrencyLimit, HandedBack, Parked, RunCompleted, Sleep, StepDone, WaitOpened

from tests.conformance.driver import OTHER, WORKER, Driver, function, held

ONE = [ConcurrencyLimit(1)]
PER_CUSTOMER = [ConcurrencyLimit(1, "event.data.customer")]


async def numbers(driver: Driver, *functions: str, limit: int = 100) -> list[object]:
    assignments = await driver.claim(*functions, limit=limit)
    return [msgspec.json.decode(assignment.events[0].data) for assignment in assignments]


async def test_runs_are_claimed_in_the_order_of_acceptance(driver: Driver) -> None:
    for n in range(5):
        await driver.send("work.asked", n)
    assert await numbers(driver, "work", limit=3) == [0, 1, 2]
    assert await numbers(driver, "work") == [3, 4]


async def test_the_order_holds_over_several_functions(driver: Driver) -> None:
    await driver.register(function("a", "a"), function("b", "b"), function("c", "c"))
    for n, name in enumerate("abcab"):
        await driver.send(name, n)
    assert await numbers(driver, "b", "a", limit=3) == [0, 1, 3]


async def test_a_claim_raises_the_epoch_and_names_the_holder(driver: Driver) -> None:
    run = await driver.running(generation=7)
    found = await driver.get(run)
    assert (found.status, found.epoch, found.seq) == (Status.ASSIGNED, 1, 0)
    assert (found.holder, found.generation, found.started_at_ms) == ("wrk_a", 7, driver.now)


async def test_a_run_is_claimed_once(driver: Driver) -> None:
    await driver.start("work")
    assert len(await driver.claim("work")) == 1
    assert await driver.claim("work", instance=OTHER) == ()


async def test_a_repeated_claim_takes_nothing_more(driver: Driver) -> None:
    for _ in range(4):
        await driver.start("work")
    first = await driver.claim("work", limit=2, claim="claim_x")
    assert await driver.claim("work", limit=2, claim="claim_x") == first
    assert len(await driver.claim("work")) == 2


async def test_a_repeated_claim_does_not_return_what_was_lost_since(driver: Driver) -> None:
    run = await driver.start("work")
    await driver.claim("work", claim="claim_x")
    await driver.give_back(await driver.get(run))
    await driver.claim("work", instance=OTHER)
    assert await driver.claim("work", claim="claim_x") == ()


async def test_nothing_is_claimed_of_other_functions_or_above_the_limit(driver: Driver) -> None:
    await driver.start("work")
    assert await driver.claim("child") == ()
    assert await driver.claim("work", limit=0) == ()
    assert await driver.claim() == ()


async def test_a_run_that_was_started_before_goes_ahead_of_new_ones(driver: Driver) -> None:
    run = await driver.running()
    await driver.start("work")
    await driver.checkpoint(run, 1, outcome=HandedBack())
    assert [assignment.run.id for assignment in await driver.claim("work", limit=1)] == [run.id]


async def test_a_claimed_run_comes_with_its_whole_journal(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b"\x01"))
    await driver.checkpoint(run, 2, WaitOpened("w", Sleep(0)), outcome=HandedBack())
    [assignment] = await driver.claim("work")
    assert [(epoch, seq) for epoch, seq, _ in assignment.segments] == [(1, 1), (1, 2)]
    assert len(assignment.entries) == 1


async def test_at_most_so_many_runs_of_a_key_are_assigned(driver: Driver) -> None:
    await driver.register(function("work", "work.asked", concurrency=[ConcurrencyLimit(2)]))
    for n in range(5):
        await driver.send("work.asked", n)
    claimed = await driver.claim("work")
    assert len(claimed) == 2
    assert await driver.claim("work", instance=OTHER) == ()
    await driver.checkpoint(claimed[0].run, 1, outcome=RunCompleted(b""))
    assert driver.notices.queued == {"shop/work"}
    assert await numbers(driver, "work") == [2]


async def test_keys_do_not_hold_each_other_up(driver: Driver) -> None:
    await driver.register(function("work", "work.asked", concurrency=PER_CUSTOMER))
    for customer in "aaabbc":
        await driver.send("work.asked", {"customer": customer})
    customers = await numbers(driver, "work")
    assert customers == [{"customer": "a"}, {"customer": "b"}, {"customer": "c"}]


async def test_runs_of_one_key_start_in_the_order_of_acceptance(driver: Driver) -> None:
    await driver.register(function("work", "work.asked", concurrency=PER_CUSTOMER))
    for n in range(4):
        await driver.send("work.asked", {"customer": 1, "n": n})
    seen: list[object] = []
    for _ in range(4):
        [assignment] = await driver.claim("work")
        seen.append(msgspec.json.decode(assignment.events[0].data)["n"])
        await driver.checkpoint(assignment.run, 1, outcome=RunCompleted(b""))
    assert seen == [0, 1, 2, 3]


async def test_the_input_of_a_run_without_an_event_has_a_key_too(driver: Driver) -> None:
    await driver.register(function("work", concurrency=PER_CUSTOMER))
    for customer in (1, 1, 2):
        await driver.start("work", msgspec.msgpack.encode({"customer": customer}))
    assert len(await driver.claim("work")) == 2


@pytest.mark.parametrize("how", ["complete", "park", "cancel"])
async def test_a_run_that_stops_lets_the_next_one_in(driver: Driver, how: str) -> None:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    second = await driver.start("work")
    assert await driver.claim("work", instance=OTHER) == ()
    if how == "complete":
        await driver.checkpoint(first, 1, outcome=RunCompleted(b""))
    elif how == "park":
        await driver.checkpoint(first, 1, WaitOpened("w", Sleep(1_000)), outcome=Parked())
    else:
        await driver.cancel(first, cleanup_ms=0)
    assert [assignment.run.id for assignment in await driver.claim("work", instance=OTHER)] == [second]


@pytest.mark.parametrize("how", ["orphan", "hand back", "give back", "boot"])
async def test_a_run_that_will_be_continued_keeps_its_place(driver: Driver, how: str) -> None:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    await driver.start("work")
    if how == "orphan":
        await driver.orphan()
    elif how == "hand back":
        await driver.checkpoint(first, 1, outcome=HandedBack())
    elif how == "give back":
        await driver.give_back(first)
    else:
        await driver.boot()
    driver.now += 10_000
    assert [assignment.run.id for assignment in await driver.claim("work")] == [first.id]


async def parked_beside_a_running_one(driver: Driver) -> tuple[Run, Run]:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    await driver.checkpoint(first, 1, WaitOpened("w", Sleep(100)), outcome=Parked())
    return first, await driver.running()


async def test_a_woken_run_waits_for_a_place_and_is_told_when_it_has_one(driver: Driver) -> None:
    first, second = await parked_beside_a_running_one(driver)
    driver.now += 100
    await driver.fire()
    assert (await driver.status(first), driver.notices.woken) == (Status.READY, [])
    assert await driver.admit(first) is None
    await driver.checkpoint(second, 1, outcome=RunCompleted(b""))
    assert [woken.run for woken in driver.notices.woken] == [first.id]
    assert await driver.admit(first) is not None


async def test_a_frame_of_a_run_without_a_place_is_stored_but_takes_none(driver: Driver) -> None:
    first, second = await parked_beside_a_running_one(driver)
    applied = await driver.checkpoint(first, 2, StepDone("late", b"\x01"))
    assert (applied.verdict, applied.status) == ("applied", Status.READY)
    assert await driver.status(second) is Status.ASSIGNED
    await driver.resume(held(await driver.get(first)), held(second))
    assert await driver.status(first) is Status.READY


async def test_a_woken_run_goes_ahead_of_new_ones_in_line(driver: Driver) -> None:
    first, second = await parked_beside_a_running_one(driver)
    await driver.start("work")
    driver.now += 100
    await driver.fire()
    await driver.checkpoint(second, 1, outcome=RunCompleted(b""))
    assert await driver.claim("work", instance=OTHER) == ()
    assert await driver.admit(first) is not None


async def test_a_queued_run_that_is_cancelled_leaves_its_line(driver: Driver) -> None:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    second, third = await driver.start("work"), await driver.start("work")
    await driver.cancel(second)
    await driver.checkpoint(first, 1, outcome=RunCompleted(b""))
    assert [assignment.run.id for assignment in await driver.claim("work")] == [third]


async def test_a_limit_that_is_raised_holds_from_the_next_free_place_on(driver: Driver) -> None:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    for _ in range(3):
        await driver.start("work")
    await driver.register(function("work", concurrency=[ConcurrencyLimit(2)]))
    await driver.checkpoint(first, 1, outcome=RunCompleted(b""))
    assert len(await driver.claim("work")) == 2


async def test_a_limit_that_is_gone_lets_everybody_in(driver: Driver) -> None:
    await driver.register(function("work", concurrency=ONE))
    first = await driver.running()
    for _ in range(3):
        await driver.start("work")
    await driver.register(function("work"))
    await driver.checkpoint(first, 1, outcome=RunCompleted(b""))
    assert len(await driver.claim("work")) == 3


async def test_a_long_journal_stays_behind_and_a_short_one_comes_with_its_run(driver: Driver) -> None:
    runs = [await driver.running() for _ in range(2)]
    for run, size in zip(runs, (10, 2_000), strict=True):
        await driver.checkpoint(run, 1, StepDone("a", bytes(size)))
        await driver.give_back(run)
    short, long = await driver.one(Claim(driver.now, "claim", WORKER, 1, ("shop/work",), 2, journal_bytes_max=1_000))
    assert [(one.is_whole, len(one.segments)) for one in (short, long)] == [(True, 1), (False, 0)]
    assert len((await driver.store.journal(long.run.id)).segments) == 1


# -- versions


async def claim_as(driver: Driver, version: str, *rivals: str, instance: str = WORKER) -> list[str]:
    name = f"claim_{version}_{driver.now}"
    op = Claim(driver.now, name, instance, 1, ("shop/work",), 10, None, (version,), (rivals,))
    return [assignment.run.id for assignment in await driver.one(op)]


async def handed_back(driver: Driver, version: str) -> str:
    run = await driver.start("work")
    assert await claim_as(driver, version) == [run]
    await driver.checkpoint(await driver.get(run), 1, StepDone("a", b""), outcome=HandedBack())
    driver.now += 1
    return run


async def test_a_run_remembers_the_version_on_which_it_began(driver: Driver) -> None:
    run = await handed_back(driver, "1")
    await claim_as(driver, "2")
    assert (await driver.get(run)).version == "1"


async def test_a_run_is_left_to_workers_of_its_version_while_there_are_any(driver: Driver) -> None:
    run = await handed_back(driver, "1")
    new = await driver.start("work")
    assert await claim_as(driver, "2", "1", instance=OTHER) == [new]
    assert driver.notices.left == {("shop/work", "1")}
    assert await claim_as(driver, "1", "2") == [run]


async def test_after_some_time_anybody_gets_the_run(driver: Driver) -> None:
    run = await handed_back(driver, "1")
    driver.now += 4_998
    assert await claim_as(driver, "2", "1", instance=OTHER) == []
    driver.now += 1
    assert await claim_as(driver, "2", "1", instance=OTHER) == [run]


async def test_a_run_of_a_version_that_nobody_has_is_taken_at_once(driver: Driver) -> None:
    run = await handed_back(driver, "1")
    assert await claim_as(driver, "3", "2", instance=OTHER) == [run]


async def test_new_runs_do_not_wait_behind_those_that_are_left(driver: Driver) -> None:
    runs = [await driver.start("work") for _ in range(12)]
    first = Claim(driver.now, "claim_first", WORKER, 1, ("shop/work",), 100, None, ("1",))
    for assignment in await driver.one(first):
        await driver.checkpoint(assignment.run, 1, outcome=HandedBack())
    new = await driver.start("work")
    assert len(runs) == 12
    assert await claim_as(driver, "2", "1", instance=OTHER) == [new]
