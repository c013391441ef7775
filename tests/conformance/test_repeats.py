"""Runs that begin like others: with the same events and input, and a fork with a part of the journal as well."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from onward_engine.model import Run, Status
from onward_engine.rules.forks import Past, past_before
from onward_engine.store.port import AnswerCallback, Rejected, Repeat
from onward_protocol.codec import decode_engine_entries, decode_entries, encode_entries
from onward_protocol.messages import (
    CallbackWait,
    CancelRule,
    ConcurrencyLimit,
    EventWait,
    Failure,
    HandedBack,
    Parked,
    RunCompleted,
    RunFailed,
    Seen,
    StepDone,
    Tagged,
    WaitOpened,
)

from tests.conformance.driver import Driver, function

A, B = StepDone("a@0#0", b"\x01", args=7), StepDone("b@0#0", b"\x02")


async def repeat(driver: Driver, run: Run | str, **options: Any) -> str:
    id = run if isinstance(run, str) else run.id
    made = await driver.one(Repeat(driver.now, options.pop("id", "run_again"), id, **options))
    assert made is not None
    return made


async def past(driver: Driver, run: Run, step: str) -> Past:
    page = await driver.store.journal(run.id)
    return past_before(step, run.id, (await driver.get(run)).origins, page.segments, page.entries)


async def test_a_rerun_has_the_same_events_and_says_where_it_comes_from(driver: Driver) -> None:
    accepted = await driver.send("work.asked", {"n": 1})
    [assignment] = await driver.claim("work")
    await driver.checkpoint(assignment.run, 1, outcome=RunFailed(Failure("E", "no")))
    assert await repeat(driver, accepted.runs[0]) == "run_again"
    [again] = await driver.claim("work")
    assert (again.run.id, again.run.origin, again.run.epoch) == ("run_again", accepted.runs[0], 1)
    assert again.events == assignment.events
    assert (again.segments, again.entries) == ((), ())


async def test_a_rerun_has_the_same_input(driver: Driver) -> None:
    run = await driver.start("work", b"\x2a")
    await repeat(driver, run)
    assert [one.run.input for one in await driver.claim("work")] == [b"\x2a", b"\x2a"]


async def test_repeating_a_repeat_changes_nothing(driver: Driver) -> None:
    run = await driver.start("work")
    assert [await repeat(driver, run), await repeat(driver, run)] == ["run_again", "run_again"]
    assert len(await driver.claim("work")) == 2


async def test_a_rerun_is_limited_and_watched_like_any_new_run(driver: Driver) -> None:
    limited = replace(function("work", concurrency=(ConcurrencyLimit(1),)), cancel_on=(CancelRule("stop"),))
    await driver.register(limited)
    run = await driver.start("work")
    await repeat(driver, run)
    assert len(await driver.claim("work")) == 1
    await driver.send("stop")
    assert await driver.status("run_again") is Status.CANCELLED


async def test_the_events_of_a_rerun_are_kept_with_it(driver: Driver) -> None:
    accepted = await driver.send("work.asked")
    await repeat(driver, accepted.runs[0])
    assert (await driver.get("run_again")).events == (accepted.id,)


async def test_what_nobody_knows_or_offers_is_not_repeated(driver: Driver) -> None:
    assert await driver.one(Repeat(driver.now, "run_again", "run_nobody")) is None
    run = await driver.start("child")
    await driver.register(function("work"))
    [refused] = await driver.apply(Repeat(driver.now, "run_again", run))
    assert isinstance(refused, Rejected)
    assert refused.code == "unknown_function"


async def test_a_fork_begins_with_what_was_done_before_the_step(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, WaitOpened("w@0#0", EventWait("go")), outcome=Parked())
    await driver.send("go")
    await driver.admit(run)
    await driver.checkpoint(run, 2, Seen(1), B, StepDone("c@0#0", b""), outcome=RunCompleted(b""))
    await repeat(driver, run, past=await past(driver, run, "c"))
    [fork] = await driver.claim("work")
    kept = [entry for _, _, data in fork.segments for entry in decode_entries(data)]
    assert kept == [replace(A, args=0), WaitOpened("w@0#0", EventWait("go")), Seen(1), B]
    assert [entry.pos for data in fork.entries for entry in decode_engine_entries(data)] == [1]
    assert (fork.run.origins, fork.run.epoch, fork.run.steps, fork.run.seen) == ((run.id,), 2, 2, 1)


async def test_a_fork_goes_on_like_any_run(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, B)
    await repeat(driver, run, past=await past(driver, run, "b@0#0"), input=b"\x2a")
    [fork] = await driver.claim("work")
    assert fork.run.input == b"\x2a"
    other = replace(B, output=b"\x03")
    assert (await driver.checkpoint(fork.run, 1, other, outcome=HandedBack())).verdict == "applied"
    [again] = await driver.claim("work")
    assert [epoch for epoch, _, _ in again.segments] == [1, 2]
    assert again.segments[1][2] == encode_entries([other])
    assert (await driver.get(fork.run)).steps == 2


async def test_a_fork_of_a_fork_knows_both(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, B)
    await repeat(driver, run, past=await past(driver, run, "b"))
    [fork] = await driver.claim("work")
    await driver.checkpoint(fork.run, 1, B, StepDone("c@0#0", b""))
    await repeat(driver, fork.run, id="run_third", past=await past(driver, fork.run, "c"))
    [third] = await driver.claim("work")
    assert third.run.origins == (run.id, "run_again")
    assert [(epoch, seq) for epoch, seq, _ in third.segments] == [(1, 1), (2, 1)]
    assert third.run.epoch == 3


async def test_a_fork_that_never_began_is_cancelled_like_a_run_that_did(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, B)
    await repeat(driver, run, past=await past(driver, run, "b"))
    assert await driver.cancel("run_again") == "cancelling"


async def test_an_open_callback_stays_open_in_a_fork(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("cb@0#0", CallbackWait("tok", url="/c/tok")))
    await driver.checkpoint(run, 2, Seen(1), A, B)
    await repeat(driver, run, past=await past(driver, run, "b"))
    [fork] = await driver.claim("work")
    assert (await driver.checkpoint(fork.run, 1, outcome=Parked())).status is Status.PARKED
    assert await driver.one(AnswerCallback(driver.now, "tok", b"\x01")) == "answered"
    assert (await driver.get(run)).pos == 2
    assert await driver.status("run_again") is Status.READY


async def test_a_fork_has_the_tags_that_the_run_had_by_then(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, Tagged({"k": "1"}, "t#0"), A, Tagged({"k": "2"}, "t#1"), B)
    await repeat(driver, run, past=await past(driver, run, "b"))
    assert (await driver.get("run_again")).tags == {"k": "2"}


async def test_a_fork_of_a_fork_at_a_step_of_the_first_run_knows_that_one_only(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, B)
    await repeat(driver, run, past=await past(driver, run, "b"))
    [fork] = await driver.claim("work")
    await driver.checkpoint(fork.run, 1, B)
    await repeat(driver, fork.run, id="run_third", past=await past(driver, fork.run, "b"))
    [third] = await driver.claim("work")
    assert (third.run.origins, third.run.epoch, third.run.origin) == ((run.id,), 2, "run_again")


async def test_a_fork_that_keeps_nothing_is_a_rerun(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("cb@0#0", CallbackWait("tok")), A)
    begun = await past(driver, run, "a")
    assert begun == Past(), "nobody has been told of the callback: it is opened anew"
    await repeat(driver, run, past=begun)
    [again] = await driver.claim("work")
    assert (again.run.origins, again.run.epoch) == ((), 1)


async def test_a_wait_beside_the_step_is_left_out_while_it_is_open(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, A, WaitOpened("w@1#0", EventWait("go")), WaitOpened("s@2#0", EventWait("no")), B)
    await driver.send("go")
    await driver.checkpoint(run, 2, Seen(1), StepDone("c@0#0", b""))
    for step, kept in (("b", ["a@0#0"]), ("c", ["a@0#0", "w@1#0", "b@0#0"])):
        begun = await past(driver, run, step)
        entries = [entry for _, _, data in begun.frames for entry in decode_entries(data)]
        assert [entry.key for entry in entries if isinstance(entry, StepDone | WaitOpened)] == kept
