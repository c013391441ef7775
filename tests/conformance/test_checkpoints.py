"""Frames: applied once, in order, only from the holder; refused ones end their run by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from onward_engine.model import Status
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Rejected
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Draft,
    EventWait,
    Failure,
    HandedBack,
    Parked,
    Published,
    RunCompleted,
    RunFailed,
    Seen,
    Sent,
    Sleep,
    StepDone,
    StepFailed,
    Tagged,
    TimerFired,
    WaitOpened,
    WorkerEntry,
)

from tests.conformance.driver import OTHER, Driver, function

DONE = StepDone("a", b"\x01")


async def test_a_checkpoint_is_applied_once(driver: Driver) -> None:
    run = await driver.running()
    first, again = await driver.apply(driver.frame(run, 1, DONE), driver.frame(run, 1, DONE))
    assert (first.verdict, again.verdict) == ("applied", "duplicate")
    assert (first.seq, again.seq) == (1, 1)
    await driver.give_back(run)
    assert [len(a.segments) for a in await driver.claim("work")] == [1]


async def test_a_gap_changes_nothing_and_says_what_is_stored(driver: Driver) -> None:
    run = await driver.running()
    applied = await driver.checkpoint(run, 2, DONE)
    assert (applied.verdict, applied.seq) == ("gap", 0)
    assert (await driver.get(run)).steps == 0


async def test_a_frame_of_an_older_epoch_is_stale(driver: Driver) -> None:
    run = await driver.running()
    await driver.give_back(run)
    await driver.claim("work", instance=OTHER)
    assert (await driver.checkpoint(run, 1, DONE)).verdict == "stale"
    assert (await driver.get(run)).steps == 0


async def test_a_frame_of_another_instance_is_stale_even_at_the_right_epoch(driver: Driver) -> None:
    run = await driver.running()
    assert (await driver.checkpoint(run, 1, DONE, instance=OTHER)).verdict == "stale"


async def test_a_frame_of_an_unknown_run_is_stale(driver: Driver) -> None:
    run = msgspec.structs.replace(await driver.running(), id="run_nobody")
    assert await driver.checkpoint(run, 1, DONE) == msgspec.structs.replace(
        await driver.checkpoint(run, 1, DONE), verdict="stale", seq=0
    )


async def test_frames_of_a_new_epoch_count_from_one_again(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE)
    await driver.checkpoint(run, 2, outcome=HandedBack())
    [again] = await driver.claim("work")
    assert (again.run.epoch, again.run.seq) == (2, 0)
    assert (await driver.checkpoint(again.run, 1, DONE)).verdict == "applied"
    assert [(epoch, seq) for epoch, seq, _ in again.segments] == [(1, 1)]


async def test_many_frames_of_a_run_in_one_batch_are_applied_in_order(driver: Driver) -> None:
    run = await driver.running()
    frames = [driver.frame(run, seq, StepDone(f"s{seq}", bytes([seq]))) for seq in range(1, 51)]
    assert [outcome.seq for outcome in await driver.apply(*frames)] == list(range(1, 51))
    await driver.give_back(run)
    [assignment] = await driver.claim("work")
    assert assignment.segments == tuple((1, frame.seq, frame.raw) for frame in frames)


async def test_the_last_frame_may_be_sent_again_after_the_end(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=RunCompleted(b"\x02"))
    again = await driver.checkpoint(run, 1, DONE, outcome=RunCompleted(b"\x03"))
    assert (again.verdict, again.seq, again.status) == ("duplicate", 1, Status.COMPLETED)
    assert (await driver.get(run)).output == b"\x02"


async def test_nothing_is_recorded_after_the_end(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, outcome=RunCompleted(b"\x02"))
    assert (await driver.checkpoint(run, 2, DONE)).verdict == "stale"
    assert (await driver.get(run)).steps == 0


async def test_a_result_is_stored_with_its_run_and_announced_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=RunCompleted(b"\x2a"))
    assert driver.notices.finished == [run.id]
    found = await driver.get(run)
    assert (found.status, found.output, found.ended_at_ms) == (Status.COMPLETED, b"\x2a", driver.now)


async def test_a_failure_is_stored_with_its_run(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, outcome=RunFailed(Failure("ValueError", "no")))
    found = await driver.get(run)
    assert (found.status, found.failure) == (Status.FAILED, Failure("ValueError", "no"))


async def test_steps_are_counted_and_other_entries_are_not(driver: Driver) -> None:
    run = await driver.running()
    entries = (DONE, StepFailed("b", Failure("E", "")), TimerFired("t"), Published("p", "x", b""), Tagged({"k": "v"}))
    await driver.checkpoint(run, 1, *entries)
    assert (await driver.get(run)).steps == 2


async def test_a_handed_back_run_is_claimable_at_once(driver: Driver) -> None:
    run = await driver.running()
    assert (await driver.checkpoint(run, 1, DONE, outcome=HandedBack())).status is Status.QUEUED
    assert driver.notices.queued == {"shop/work"}
    assert [a.run.epoch for a in await driver.claim("work", instance=OTHER)] == [2]
    assert driver.notices.fenced == []


async def test_a_hand_back_may_be_sent_again_but_nothing_may_follow_it(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, DONE, outcome=HandedBack())
    assert (await driver.checkpoint(run, 1, DONE, outcome=HandedBack())).verdict == "duplicate"
    assert (await driver.checkpoint(run, 2, DONE)).verdict == "stale"


async def test_a_run_that_parks_without_a_wait_is_handed_out_anew(driver: Driver) -> None:
    run = await driver.running()
    assert (await driver.checkpoint(run, 1, DONE, outcome=Parked())).status is Status.QUEUED
    assert [fenced.run for fenced in driver.notices.fenced] == [run.id]
    assert driver.notices.next_due_at_ms is not None
    driver.now = driver.notices.next_due_at_ms
    assert len(await driver.claim("work")) == 1


async def test_a_mark_must_be_the_next_pos_that_was_written(driver: Driver) -> None:
    run = await driver.running()
    applied = await driver.checkpoint(run, 1, Seen(1))
    assert (applied.verdict, applied.status) == ("applied", Status.FAILED)
    found = await driver.get(run)
    assert found.failure is not None
    assert found.failure.type == "BadMark"
    assert [fenced.run for fenced in driver.notices.fenced] == [run.id]


@pytest.fixture(params=["memory", "sqlite-inline"])
async def small(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    limits = Limits(steps_per_run_max=3, state_bytes_max=2_000, output_bytes_max=100, event_bytes_max=50, depth_max=20)
    store = MemoryStore(limits) if request.param == "memory" else SqliteStore(":memory:", limits=limits)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    yield driver
    await store.close()


@pytest.mark.parametrize(
    ("entries", "failure"),
    [
        ([StepDone(f"s{n}", b"") for n in range(4)], "TooManySteps"),
        ([StepDone("s", bytes(101))], "PayloadTooLarge"),
        ([StepDone("s", b"", name="n" * 2_000)], "StateTooLarge"),
        ([Sent("s", (Draft("x", b'"' + b"x" * 60 + b'"'),))], "PayloadTooLarge"),
        ([Sent("s", (Draft("x", b"{no"),))], "InvalidEvent"),
        ([Sent("s", (Draft("x", b"[" * 24 + b"]" * 24),))], "InvalidEvent"),
        ([Sent("s", (Draft("nul\0", b"1"),))], "InvalidEvent"),
        ([Sent("s", (Draft("", b"1"),))], "InvalidEvent"),
        ([Sent("s", (Draft("x", b"1", id="nul\0"),))], "InvalidEvent"),
        ([Sent("s", (Draft("x", b"1", meta={"nul\0": "a"}),))], "InvalidEvent"),
        ([WaitOpened("s", Sleep(367 * 86_400_000))], "WaitTooLong"),
        ([WaitOpened("", Sleep(1))], "InvalidFrame"),
    ],
)
async def test_each_overrun_ends_the_run_with_its_name(small: Driver, entries: list[WorkerEntry], failure: str) -> None:
    run = await small.running()
    applied = await small.checkpoint(run, 1, *entries)
    found = await small.get(run)
    assert (applied.verdict, applied.seq, found.status) == ("applied", 1, Status.FAILED)
    assert found.failure is not None
    assert found.failure.type == failure
    assert (await small.checkpoint(run, 1, *entries)).verdict == "duplicate"


async def test_a_result_that_is_too_large_ends_the_run_with_its_name(small: Driver) -> None:
    run = await small.running()
    applied = await small.checkpoint(run, 1, outcome=RunCompleted(bytes(101)))
    assert applied.reason.startswith("PayloadTooLarge")
    assert (await small.get(run)).output == b""


@pytest.mark.parametrize("where", ["assigned", "parked", "orphaned", "queued", "ready"])
async def test_a_run_that_what_it_waits_for_makes_too_large_ends_with_its_name(small: Driver, where: str) -> None:
    run = await small.running()
    outcome = Parked() if where in ("parked", "ready") else HandedBack() if where == "queued" else None
    waits = [WaitOpened("w", EventWait("go")), WaitOpened("v", EventWait("now"))]
    await small.checkpoint(run, 1, *waits, outcome=outcome)
    if where == "orphaned":
        await small.orphan()
    if where == "ready":
        await small.send("now")
    assert await small.status(run) == where
    await small.send("go", "x" * 2_000)
    found = await small.get(run)
    assert (found.status, found.failure and found.failure.type) == (Status.FAILED, "StateTooLarge")
    assert small.notices.woken == []
    assert await small.fire() == 0


async def test_a_frame_that_cannot_be_stored_is_rejected_and_leaves_its_run_as_it_was(driver: Driver) -> None:
    run = await driver.running()
    poisoned = driver.frame(run, 1, WaitOpened("k", Sleep(1)), raw="not bytes at all \ud800")
    if isinstance(driver.store, MemoryStore):
        pytest.skip("memory keeps whatever it is given")
    [outcome] = await driver.apply(poisoned)
    assert isinstance(outcome, Rejected)
    assert (await driver.get(run)).seq == 0
    assert (await driver.checkpoint(run, 1, DONE)).verdict == "applied"
