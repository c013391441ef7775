"""One run in memory: what its code sees, what is sent, and how it leaves."""

import asyncio
import gc
import warnings
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
from onward import step
from onward.errors import Evicted, RunCancelled, StepFailed
from onward.host import Host
from onward.run.bodies import ChangedArgumentsWarning
from onward.run.course import Course
from onward_protocol.messages import (
    Arrived,
    CancelRequested,
    Due,
    Event,
    EventWait,
    Parked,
    RunCompleted,
    RunFailed,
    Segment,
    Sleep,
    StepDone,
    TimerFired,
    WaitClosed,
    WaitOpened,
    Wake,
)
from onward_protocol.messages import RunCancelled as CancelledOutcome

from tests.support.loop import VirtualLoop
from tests.support.paper_engine import PaperEngine, Program, call, finished, output_of, quiet, until


class Counter:
    """A step that counts how often its body ran."""

    def __init__(self) -> None:
        self.runs: list[Any] = []

    async def __call__(self, value: Any) -> Any:
        self.runs.append(value)
        await asyncio.sleep(0)
        return value

    def of(self, value: Any, id: str = "count", **options: Any) -> Any:
        return call(self.__call__, value, id=id, **options)


def virtual(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main` in virtual time."""
    loop = VirtualLoop(Random(1))
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


# -- results


async def test_code_gets_the_decoded_copy_on_the_first_execution_too() -> None:
    async def function(host: Host) -> str:
        async def pair() -> tuple[int, int]:
            return (1, 2)

        return type(await host.step(call(pair))).__name__

    assert await output_of(function) == "list"


async def test_in_safe_mode_a_body_starts_only_when_the_result_before_it_is_durable() -> None:
    count = Counter()

    async def function(host: Host) -> None:
        await host.step(count.of(1))
        await host.step(count.of(2))

    engine = PaperEngine(Program(function), auto=False)
    engine.start()
    await quiet(engine)
    assert count.runs == [1]
    engine.store()
    await quiet(engine)
    assert count.runs == [1, 2]
    await engine.runner.close()


async def test_the_last_result_and_the_outcome_travel_in_one_frame() -> None:
    async def function(host: Host) -> Any:
        return await host.step(Counter().of(1))

    engine = PaperEngine(Program(function))
    run = engine.start()
    assert await finished(engine) == 1
    assert len(run.segments) == 1


async def test_a_result_and_the_wait_behind_it_travel_in_one_frame_with_the_parking() -> None:
    async def function(host: Host) -> None:
        await host.step(Counter().of(1))
        await host.wait("a", Sleep(1))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    assert run.outcomes == [Parked()]
    assert [type(entry) for entry in run.written] == [StepDone, WaitOpened]
    assert len(run.segments) == 1
    await engine.runner.close()


async def test_a_crash_after_every_frame_runs_each_body_once() -> None:
    count = Counter()

    async def function(host: Host) -> list[Any]:
        first = await host.step(count.of("a"))
        both = await asyncio.gather(host.step(count.of("b")), host.step(count.of("c")))
        await asyncio.sleep(0.001)
        return [first, *both, await host.step(count.of("d"))]

    engine = PaperEngine(Program(function), auto=False)
    run = engine.start()
    while run.outcome is None:
        await until(lambda: engine.sent)
        await quiet(engine)
        engine.store(ack=False)
        if run.outcome is None:
            old = engine.runner
            engine.restart()
            await old.close()
    assert await finished(engine) == ["a", "b", "c", "d"]
    assert sorted(count.runs) == ["a", "b", "c", "d"]


async def test_short_steps_that_start_together_do_not_wait_for_each_other_to_be_stored() -> None:
    ran: list[int] = []

    async def body(number: int) -> None:
        ran.append(number)

    async def function(host: Host) -> None:
        await asyncio.gather(*(host.step(call(body, number)) for number in range(5)))

    engine = PaperEngine(Program(function), auto=False)
    run = engine.start()
    await quiet(engine)
    assert ran == [0, 1, 2, 3, 4]
    engine.store()
    await finished(engine)
    assert len(run.segments) <= 2


async def test_the_time_inside_a_run_is_that_of_the_newest_entry() -> None:
    times: list[list[int]] = []

    async def function(host: Host) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        seen = [host.now_ms()]
        for _ in range(2):
            await host.step(Counter().of(1))
            await asyncio.sleep(0.002)
            seen += [host.now_ms(), round((loop.time() - start) * 1000)]
        times.append(seen)

    engine = PaperEngine(Program(function))
    engine.start()
    await finished(engine)
    engine.restart()
    await finished(engine)
    assert times[0] == times[1]
    assert times[0][0] == 1_000


# -- engine entries


async def test_an_event_that_arrives_before_a_result_is_delivered_before_it_on_a_replay_too() -> None:
    async def function(host: Host) -> list[str]:
        order: list[str] = []

        async def note(name: str, what: Coroutine[Any, Any, Any]) -> None:
            await what
            order.append(name)

        release = asyncio.Event()
        releases.append(release)

        async def slow() -> None:
            await release.wait()

        await asyncio.gather(note("step", host.step(call(slow))), note("event", host.wait("w", EventWait("e"))))
        return order

    releases: list[asyncio.Event] = []
    engine = PaperEngine(Program(function))
    engine.start()
    await quiet(engine)
    engine.wake(lambda pos: Arrived(pos, "w@0.1#0", Event("e1", "e", b"{}", 1, 1)))
    releases[0].set()
    assert await finished(engine) == ["event", "step"]
    engine.restart()
    assert await finished(engine) == ["event", "step"]


async def test_entries_that_come_out_of_order_or_twice_enter_the_log_in_order_and_once() -> None:
    got: list[int] = []

    async def function(host: Host) -> None:
        async def wait(name: str) -> None:
            got.append((await host.wait(name, Sleep(1))).pos)

        await asyncio.gather(wait("a"), wait("b"))
        await host.wait("c", Sleep(1))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    first, second = run.write(lambda pos: Due(pos, "a@0.0#0")), run.write(lambda pos: Due(pos, "b@0.1#0"))
    engine.runner.handle(Wake("run_1", 1, (second,)))
    engine.runner.handle(Wake("run_1", 1, (first, second), slot=True))
    await quiet(engine)
    assert got == [1, 2]
    assert run.seen == 2
    await engine.runner.close()


async def test_a_wait_that_the_code_gives_up_is_closed_and_its_late_answer_goes_to_nobody() -> None:
    async def function(host: Host) -> str:
        try:
            async with asyncio.timeout(0.001):
                await host.wait("w", EventWait("e"))
        except TimeoutError:
            await host.wait("sleep", Sleep(1))
        return "over"

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: isinstance(run.outcome, Parked))
    assert [type(entry) for entry in run.written] == [WaitOpened, TimerFired, WaitClosed, WaitOpened]
    engine.wake(lambda pos: Arrived(pos, "w@0#0", Event("e1", "e", b"{}", 1, 1)), slot=True)
    await quiet(engine)
    engine.wake(lambda pos: Due(pos, "sleep@0#0"), slot=True)
    assert await finished(engine) == "over"


# -- changed code


async def replayed_with(first: Any, second: Any, **options: Any) -> Any:
    """Run the function to its first parking, then replay another one on its journal."""
    engine = PaperEngine(Program(first), **options)
    run = engine.start()
    await quiet(engine)
    assert run.outcome == Parked()
    old, engine.programs = engine.runner, {"app/fn": Program(second)}
    engine.restart()
    await old.close()
    await until(lambda: run.outcome)
    await engine.runner.close()
    return run.outcome


async def one(value: int = 0) -> int:
    return 1


async def other(value: int = 0) -> int:
    return 2


def plain_one() -> int:
    return 1


async def test_another_function_under_the_key_of_a_recorded_step_is_non_determinism() -> None:
    async def before(host: Host) -> None:
        await host.step(call(one, id="s"))
        await host.wait("w", Sleep(1))

    async def after(host: Host) -> None:
        await host.step(call(other, id="s"))

    outcome = await replayed_with(before, after)
    assert isinstance(outcome, RunFailed)
    assert "recorded for one, and now calls other" in outcome.failure.message


WAYS_TO_ASK: list[Callable[[Host], Coroutine[Any, Any, Any]]] = [
    lambda host: host.step(call(one)),
    lambda _: step(one)(),
    lambda _: step(plain_one).aio(),
]


@pytest.mark.parametrize("ask", WAYS_TO_ASK, ids=["called by the host", "declared", "declared sync"])
async def test_the_same_step_called_elsewhere_in_the_code_is_non_determinism(
    ask: Callable[[Host], Coroutine[Any, Any, Any]],
) -> None:
    async def before(host: Host) -> None:
        await ask(host)
        await host.wait("w", Sleep(1))

    async def after(host: Host) -> None:
        await ask(host)

    outcome = await replayed_with(before, after)
    assert isinstance(outcome, RunFailed)
    assert "another call in the code" in outcome.failure.message


def calling(value: int) -> Any:
    async def function(host: Host) -> Any:
        result = await host.step(call(one, value))
        return result if value else await host.wait("w", Sleep(1))

    return function


async def test_other_arguments_than_the_recorded_ones_are_a_warning() -> None:
    with pytest.warns(ChangedArgumentsWarning, match="other arguments"):
        assert await replayed_with(calling(0), calling(5)) == RunCompleted(b"\x01")


async def test_a_run_that_cannot_even_be_taken_up_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(course: Course, journal: object) -> None:
        raise LookupError("this journal is like no other")

    monkeypatch.setattr(Course, "begin", begin)
    run = PaperEngine(Program(calling(5))).start()
    await until(lambda: run.outcome)
    assert isinstance(run.outcome, RunFailed)
    assert run.outcome.failure.message == "this journal is like no other"


async def test_where_warnings_are_errors_they_fail_the_run_instead_of_letting_it_hang() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = await replayed_with(calling(0), calling(5))
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "ChangedArgumentsWarning"


async def test_other_arguments_are_an_error_in_strict_mode() -> None:
    outcome = await replayed_with(calling(0), calling(5), strict=True)
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "NonDeterminism"


def test_a_result_that_nobody_asks_for_holds_new_steps_back_for_a_second(caplog: pytest.LogCaptureFixture) -> None:
    async def before(host: Host) -> None:
        await host.step(call(one))
        await host.wait("w", Sleep(1))

    async def after(host: Host) -> float:
        await host.step(call(other))
        return asyncio.get_running_loop().time()

    async def main() -> tuple[Any, float]:
        return await replayed_with(before, after), asyncio.get_running_loop().time()

    outcome, at = virtual(main)
    assert isinstance(outcome, RunCompleted)
    assert 1_001 <= at < 1_002
    assert "ended without asking for recorded results: ['one@0#0']" in caplog.text


def test_a_run_that_waits_for_nothing_known_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def function(host: Host) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        engine = PaperEngine(Program(function))
        engine.start()
        await asyncio.sleep(11)
        await engine.runner.close()

    virtual(main)
    assert "waits for something that Onward does not know of" in caplog.text


async def test_a_journal_that_cannot_be_read_fails_the_run_with_the_reason() -> None:
    engine = PaperEngine(Program(one))
    run = engine.start()
    run.segments.append(Segment(1, 1, b"\xc1"))
    engine.restart()
    outcome = await finished(engine)
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "ProtocolError"


async def test_a_loop_whose_hooks_were_replaced_fails_the_run_with_the_reason() -> None:
    engine = PaperEngine(Program(one))
    loop = asyncio.get_running_loop()
    hook = loop.call_later
    setattr(loop, "call_later", partial(hook))  # noqa: B010 - what somebody else's code would do
    try:
        engine.start()
        outcome = await finished(engine)
    finally:
        setattr(loop, "call_later", hook)  # noqa: B010 - as above
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "ConfigError"


# -- cancelling


async def test_a_cancelled_run_cleans_up_at_the_same_place_on_a_replay() -> None:
    count = Counter()
    places: list[str] = []

    async def function(host: Host) -> None:
        try:
            await host.step(count.of("work"))
            await host.wait("w", EventWait("e"))
        except RunCancelled as error:
            places.append(str(error))
            await host.step(count.of("clean up"))
            raise

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    engine.wake(lambda pos: CancelRequested(pos, 1000, "changed my mind"), slot=True)
    assert await finished(engine) == CancelledOutcome("changed my mind")
    assert run.open == {}
    engine.restart()
    assert await finished(engine) == CancelledOutcome("changed my mind")
    assert places == ["changed my mind"] * 2
    assert count.runs == ["work", "clean up"]


async def test_a_cancelled_run_that_goes_on_is_cancelled_all_the_same() -> None:
    async def function(host: Host) -> str:
        try:
            await host.wait("w", EventWait("e"))
        except asyncio.CancelledError:
            return "never mind"
        return "impossible"

    engine = PaperEngine(Program(function))
    engine.start()
    await quiet(engine)
    engine.wake(lambda pos: CancelRequested(pos, 1000, "stop"), slot=True)
    assert await finished(engine) == CancelledOutcome("stop")


# -- leaving


async def test_an_evicted_run_runs_its_finally_blocks_once_and_its_steps_never() -> None:
    seen: list[Any] = []

    async def function(host: Host) -> None:
        try:
            await host.wait("w", EventWait("e"))
        finally:
            seen.append(host.leaving)
            try:
                await host.step(call(one))
            except Evicted:
                seen.append("no step")
                raise

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    frames = len(run.segments)
    await engine.runner.close()
    assert seen == [True, "no step"]
    assert len(run.segments) == frames


async def test_code_that_catches_everything_is_closed_after_the_patience() -> None:
    async def function(host: Host) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    engine = PaperEngine(Program(function), patience_ms=20)
    engine.start()
    await quiet(engine)
    await engine.runner.close()
    assert engine.runner.free == engine.slots


async def test_an_evicted_run_does_not_run_on_in_the_lineage_of_another() -> None:
    async def leaver(host: Host) -> None:
        try:
            await asyncio.gather(host.wait("w", EventWait("e")), host.wait("v", EventWait("e")))
        finally:
            await asyncio.sleep(0)

    async def stayer(host: Host) -> list[str]:
        keys: list[str] = []
        for _ in range(3):
            gc.collect()
            await host.step(call(one))
            keys.append(await asyncio.create_task(key(host)))
        return keys

    async def key(host: Host) -> str:
        return host.key("k")

    engine = PaperEngine(Program(leaver, id="app/leaver"), Program(stayer))
    engine.start("run_0", "app/leaver")
    await quiet(engine)
    engine.runner.handle(engine.runs["run_0"].assign())
    engine.start("run_1")
    assert await finished(engine) == ["k@0.0#0", "k@0.1#0", "k@0.2#0"]
    await engine.runner.close()


async def test_tasks_that_a_finished_function_left_over_start_nothing() -> None:
    count = Counter()

    async def function(host: Host) -> str:
        async def later() -> None:
            await host.step(count.of(1))
            await host.step(count.of(2))

        left_over.append(asyncio.create_task(later()))
        await asyncio.sleep(0)
        return "done"

    left_over: list[asyncio.Task[None]] = []
    engine = PaperEngine(Program(function))
    run = engine.start()
    assert await finished(engine) == "done"
    await quiet(engine)
    assert count.runs == []
    assert run.written == []
    assert left_over[0].done()


async def test_a_task_is_kept_alive_by_its_run() -> None:
    async def function(host: Host) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def forgotten() -> None:
            await host.step(call(one))
            done.set_result(True)

        weak = weakref.ref(asyncio.create_task(forgotten()))
        await asyncio.sleep(0)
        gc.collect()
        assert weak() is not None
        return await done

    assert await output_of(function) is True


async def test_a_step_that_fails_for_good_can_be_caught() -> None:
    async def function(host: Host) -> list[Any]:
        async def fails() -> None:
            raise LookupError("nothing there")

        try:
            await host.step(call(fails))
        except StepFailed as error:
            return [error.type, error.message, error.attempts]
        return []

    engine = PaperEngine(Program(function))
    engine.start()
    first = await finished(engine)
    engine.restart()
    assert first == await finished(engine) == ["LookupError", "nothing there", 1]


async def test_sent_events_have_the_same_ids_on_a_replay() -> None:
    from onward_protocol.messages import Draft

    async def function(host: Host) -> list[str]:
        return [*await host.send("send", [Draft("a", b"{}"), Draft("b", b"{}", id="own")])]

    engine = PaperEngine(Program(function))
    engine.start()
    first = await finished(engine)
    engine.restart()
    assert first == await finished(engine)
    assert first[1] == "own"
