"""Batches: one transaction, one outcome each, and a poisoned one harms nobody."""

from __future__ import annotations

import random
from string import ascii_letters
from typing import Any, cast

import pytest
from onward_engine.store.port import Admit, Applied, CancelRun, Claim, Ingest, NewEvent, Op, Rejected, StartRun
from onward_protocol.messages import Event, EventWait, Parked, Seen, Sleep, StepDone, WaitOpened

from tests.conformance.driver import Driver, function

NO_TEXT = Event("evt_x", "work.asked", b"1", 1, 0, meta={"a": "\ud800"})
NO_BYTES = Event("evt_x", "work.asked", cast("bytes", 7), 1, 0)  # breaks after the event is stored, at its first run


def poison(driver: Driver, event: Event) -> Op[Any]:
    return Ingest(driver.now, (NewEvent(event),))


async def test_a_key_that_is_too_long_for_an_index_harms_nobody(driver: Driver) -> None:
    run = await driver.running()
    key = "".join(random.Random(1).choices(ascii_letters, k=20_000))  # it cannot be compressed
    frame = driver.frame(run, 1, WaitOpened(key, Sleep(1_000)), outcome=Parked())
    _, started = await driver.apply(frame, StartRun(driver.now, "run_s", "shop/work", b""))
    assert started == "run_s"
    assert len(await driver.claim("work")) == 1


@pytest.mark.parametrize("event", [NO_TEXT, NO_BYTES], ids=["refused", "broken"])
@pytest.mark.parametrize("position", range(6))
async def test_a_poisoned_operation_is_rejected_wherever_it_stands(driver: Driver, position: int, event: Event) -> None:
    run = await driver.running()
    ops: list[Op[Any]] = [
        driver.frame(run, 1, StepDone("a", b"\x01")),
        Ingest(driver.now, (driver.new_event("work.asked", 1),)),
        driver.frame(run, 2, StepDone("b", b"\x02")),
        StartRun(driver.now, "run_s", "shop/work", b""),
        Claim(driver.now, "claim_z", "wrk_a", 1, ("shop/work",), 10),
    ]
    ops.insert(position, poison(driver, event))
    outcomes = list(await driver.apply(*ops))
    assert isinstance(outcomes.pop(position), Rejected)
    first, accepted, second, started, claimed = outcomes
    assert (first.seq, second.seq, started, len(claimed)) == (1, 2, "run_s", 2)
    assert [assignment.run.id for assignment in claimed] == [*accepted[0].runs, "run_s"]
    assert (await driver.get(run)).steps == 2
    assert await driver.store.event("evt_x") is None
    assert (driver.notices.queued, len(driver.notices.woken)) == ({"shop/work"}, 0)


async def test_nothing_is_told_of_what_was_rejected(driver: Driver) -> None:
    await driver.register(function("work", "work.asked"), function("child", "child.asked"))
    broken = Ingest(driver.now, (driver.new_event("child.asked"), NewEvent(NO_BYTES)))
    await driver.apply(broken, StartRun(driver.now, "run_s", "shop/work", b""))
    assert driver.notices.queued == {"shop/work"}


async def test_an_entry_that_is_marked_in_the_same_batch_is_not_told(driver: Driver) -> None:
    run = await driver.running()
    await driver.apply(CancelRun(driver.now, run.id, "", 1_000), driver.frame(run, 1, Seen(1)))
    assert driver.notices.woken == []


async def test_an_entry_that_went_with_an_admission_is_not_told_again(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("go")), outcome=Parked())
    go = Ingest(driver.now, (driver.new_event("go"),))
    _, entries = await driver.apply(go, Admit(driver.now, run.id, run.epoch, "wrk_a", 1))
    assert (len(entries), driver.notices.woken) == (1, [])


async def test_a_batch_of_poison_rejects_each(driver: Driver) -> None:
    outcomes = await driver.apply(*[poison(driver, event) for event in (NO_BYTES, NO_TEXT, NO_BYTES)])
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


async def test_later_operations_see_what_earlier_ones_did(driver: Driver) -> None:
    start = StartRun(driver.now, "run_s", "shop/work", b"")
    claim = Claim(driver.now, "claim_z", "wrk_a", 1, ("shop/work",), 10)
    cancel = CancelRun(driver.now, "run_s", "", 0)
    _, claimed, cancelled, again = await driver.apply(start, claim, cancel, cancel)
    assert (len(claimed), cancelled, again) == (1, "cancelled", "terminal")


async def test_notices_tell_the_state_at_the_end_of_the_batch(driver: Driver) -> None:
    start = StartRun(driver.now, "run_s", "shop/work", b"")
    claim = Claim(driver.now, "claim_z", "wrk_a", 1, ("shop/work",), 10)
    cancel = CancelRun(driver.now, "run_s", "", 1_000)
    await driver.apply(start, claim, cancel)
    assert [(woken.run, woken.epoch) for woken in driver.notices.woken] == [("run_s", 1)]


async def test_a_claim_carries_what_was_written_before_it_and_is_not_told_again(driver: Driver) -> None:
    run = await driver.running()
    await driver.give_back(run)
    cancel = CancelRun(driver.now, run.id, "", 1_000)
    claim = Claim(driver.now, "claim_z", "wrk_a", 1, ("shop/work",), 10)
    _, claimed = await driver.apply(cancel, claim)
    assert (len(claimed[0].entries), driver.notices.woken) == (1, [])


async def test_an_empty_batch_is_fine(driver: Driver) -> None:
    assert await driver.apply() == ()


async def test_a_thousand_frames_of_a_hundred_runs_in_one_batch(driver: Driver) -> None:
    await driver.apply(*[StartRun(driver.now, f"run_{n}", "shop/work", b"") for n in range(100)])
    runs = [assignment.run for assignment in await driver.claim("work")]
    frames = [driver.frame(run, seq, StepDone(f"s{seq}", b"")) for seq in range(1, 11) for run in runs]
    outcomes = await driver.apply(*frames)
    assert all(isinstance(outcome, Applied) and outcome.verdict == "applied" for outcome in outcomes)
    assert {(await driver.get(run)).steps for run in runs} == {10}
