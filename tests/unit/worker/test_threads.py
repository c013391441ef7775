"""Functions that are plain `def`: a thread for the run, durable calls that block, parallel calls in threads."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from onward.checkpoint import Checkpoint
from onward.errors import Evicted, RunCancelled, StepFailed
from onward.host import Host
from onward_protocol.codec import decode_entries
from onward_protocol.messages import CancelRequested, Due, EventWait, Fence, HandedBack, Parked, RunFailed, Sleep
from onward_protocol.messages import RunCancelled as CancelledOutcome

from tests.support.paper_engine import PaperEngine, Program, call, finished, output_of, until


def step(host: Host, fn: Callable[..., Any], *args: Any, id: str = "", **options: Any) -> Any:
    """Run a step from a sync function."""
    return host.block(lambda: host.step(call(fn, *args, id=id, **options)))


def wait(host: Host, name: str) -> Any:
    return host.block(lambda: host.wait(name, EventWait("e")))


def sync(fn: Callable[[Host], Any], **options: Any) -> Program:
    return Program(fn, is_sync=True, **options)


class Ledger:
    """Counts bodies; a step's body is one of its methods."""

    def __init__(self) -> None:
        self.runs: list[Any] = []

    def keep(self, value: Any) -> Any:
        self.runs.append(value)
        return value

    def fail(self) -> None:
        raise LookupError("no")


async def test_durable_calls_block_the_runs_own_thread() -> None:
    def function(host: Host) -> list[Any]:
        return [threading.current_thread().name, step(host, Ledger().keep, 2)]

    assert await output_of(function, is_sync=True) == ["run-run_1", 2]


async def test_a_crash_after_every_frame_runs_each_body_once() -> None:
    ledger = Ledger()

    def function(host: Host) -> list[Any]:
        first = step(host, ledger.keep, 1)
        rest = host.gather([partial(step, host, ledger.keep, first + n) for n in (1, 2, 3)])
        return [first, *rest, step(host, ledger.keep, 5)]

    engine = PaperEngine(sync(function), auto=False)
    run = engine.start()
    while run.outcome is None:
        await until(lambda: engine.sent)
        await asyncio.sleep(0.02)
        engine.store(ack=False)
        if run.outcome is None:
            old = engine.runner
            engine.restart()
            await old.close()
    assert await finished(engine) == [1, 2, 3, 4, 5]
    assert sorted(ledger.runs) == [1, 2, 3, 4, 5]


async def test_parallel_calls_have_the_keys_of_their_place_whoever_is_first() -> None:
    def function(host: Host) -> list[str]:
        second_first = threading.Event()

        def one() -> str:
            second_first.wait(10)
            return host.key("k")

        def two() -> str:
            key = host.key("k")
            second_first.set()
            return key

        return [*host.gather([one, two]), host.key("k")]

    assert await output_of(function, is_sync=True) == ["k@0.0#0", "k@0.1#0", "k@0#0"]


async def test_the_first_failure_in_the_order_of_the_calls_is_raised_after_all_have_ended() -> None:
    ledger = Ledger()

    def function(host: Host) -> list[Any]:
        def late_failure() -> None:
            step(host, ledger.keep, "late")
            raise KeyError("first")

        def early_failure() -> None:
            raise ValueError("second")

        try:
            host.gather([late_failure, early_failure])
        except KeyError as error:
            return [type(error).__name__, ledger.runs]
        return []

    assert await output_of(function, is_sync=True) == ["KeyError", ["late"]]


async def test_a_limit_bounds_the_threads_of_a_gather() -> None:
    names: set[str] = set()

    def function(host: Host) -> int:
        def note() -> None:
            names.add(str(threading.get_ident()))
            step(host, Ledger().keep, 1)

        host.gather([note] * 8, limit=2)
        return len(names)

    assert await output_of(function, is_sync=True) <= 2


async def test_threads_of_a_run_may_wait_for_each_other() -> None:
    def function(host: Host) -> list[Any]:
        told = threading.Event()

        def teller() -> Any:
            value = step(host, Ledger().keep, 1)
            told.set()
            return value

        def listener() -> Any:
            told.wait(10)
            return step(host, Ledger().keep, 2)

        return [*host.gather([listener, teller])]

    engine = PaperEngine(sync(function))
    engine.start()
    assert await finished(engine) == [2, 1]
    engine.restart()
    assert await finished(engine) == [2, 1]


async def test_a_step_that_fails_is_raised_in_the_thread() -> None:
    def function(host: Host) -> str:
        try:
            step(host, Ledger().fail)
        except StepFailed as error:
            return error.type
        return ""

    assert await output_of(function, is_sync=True) == "LookupError"


async def test_a_foreign_thread_cannot_make_durable_calls() -> None:
    def function(host: Host) -> str:
        errors: list[str] = []

        def foreign() -> None:
            try:
                step(host, Ledger().keep, 1)
            except Exception as error:  # noqa: BLE001 - shown by the test
                errors.append(str(error))

        thread = threading.Thread(target=foreign)
        thread.start()
        thread.join()
        return errors[0]

    assert "not one of the run's own" in await output_of(function, is_sync=True)


async def test_a_durable_call_inside_a_body_is_refused() -> None:
    def function(host: Host) -> str:
        def body() -> str:
            try:
                step(host, Ledger().keep, 1)
            except Exception as error:  # noqa: BLE001 - shown by the test
                return type(error).__name__
            return ""

        return str(step(host, body))

    assert await output_of(function, is_sync=True) == "StepInsideStep"


async def test_a_parked_thread_goes_on_where_it_was() -> None:
    threads: list[int] = []

    def function(host: Host) -> int:
        threads.append(threading.get_ident())
        wait(host, "w")
        threads.append(threading.get_ident())
        return len(set(threads))

    engine = PaperEngine(sync(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    assert engine.runner.free == engine.slots
    engine.wake(lambda pos: Due(pos, "w@0#0"), slot=True)
    assert await finished(engine) == 1


async def test_threads_beyond_the_cap_unwind_and_the_run_is_returned() -> None:
    def function(host: Host) -> None:
        wait(host, "w")

    engine = PaperEngine(sync(function), resident_threads=1)
    runs = [engine.start(f"run_{n}") for n in range(3)]
    await until(lambda: len(engine.returned) == 2)
    assert [(back.run, back.reason) for back in engine.returned] == [("run_0", "evicted"), ("run_1", "evicted")]
    assert [held.run for held in engine.runner.held()] == ["run_2"]
    assert all(run.open for run in runs)
    await engine.runner.close()


async def test_a_sleep_that_outlasts_the_stay_gives_the_thread_back_at_once() -> None:
    def function(host: Host) -> None:
        host.block(lambda: host.wait("s", Sleep(3_600_000)))

    engine = PaperEngine(sync(function), park_ttl_ms=1_000)
    engine.start()
    await until(lambda: engine.returned)
    assert engine.runner.held() == ()


async def test_an_evicted_thread_unwinds_and_its_steps_do_not_run() -> None:
    ledger = Ledger()
    seen: list[Any] = []

    def function(host: Host) -> None:
        try:
            wait(host, "w")
        finally:
            seen.append(host.leaving)
            try:
                step(host, ledger.keep, 1)
            except Evicted:
                seen.append("no step")

    engine = PaperEngine(sync(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    await engine.runner.close()
    assert seen == [True, "no step"]
    assert ledger.runs == []


async def test_a_slot_stays_occupied_until_the_thread_has_ended() -> None:
    began, release = threading.Event(), threading.Event()

    def function(host: Host) -> None:
        began.set()
        release.wait(10)
        wait(host, "w")

    engine = PaperEngine(sync(function), slots=1)
    engine.start()
    await until(began.is_set)

    engine.runner.handle(Fence("run_1", 1))
    await asyncio.sleep(0.02)
    assert engine.runner.held() == ()
    assert engine.runner.free == 0
    release.set()
    await until(lambda: engine.runner.free == 1)


async def test_a_cancelled_sync_run_gets_it_in_its_durable_call_and_cleans_up() -> None:
    ledger = Ledger()
    places: list[str] = []

    def function(host: Host) -> None:
        try:
            step(host, ledger.keep, "work")
            wait(host, "w")
        except RunCancelled as error:
            places.append(str(error))
            step(host, ledger.keep, "clean up")
            raise

    engine = PaperEngine(sync(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    engine.wake(lambda pos: CancelRequested(pos, 1000, "stop"), slot=True)
    assert await finished(engine) == CancelledOutcome("stop")
    engine.restart()
    assert await finished(engine) == CancelledOutcome("stop")
    assert ledger.runs == ["work", "clean up"]
    assert places == ["stop", "stop"]


async def test_a_busy_thread_gets_the_cancellation_at_its_next_durable_call() -> None:
    began, release = threading.Event(), threading.Event()

    def function(host: Host) -> str:
        began.set()
        release.wait(10)
        try:
            step(host, Ledger().keep, 1)
        except RunCancelled:
            return "cancelled at the step"
        return "not cancelled"

    engine = PaperEngine(sync(function))
    engine.start()
    await until(began.is_set)
    engine.wake(lambda pos: CancelRequested(pos, 1000, "stop"))
    release.set()
    assert await finished(engine) == CancelledOutcome("stop")


async def test_a_cancellation_reaches_the_threads_of_a_gather_once() -> None:
    ledger = Ledger()

    def function(host: Host) -> None:
        try:
            host.gather([lambda: wait(host, "a"), lambda: wait(host, "b")])
        finally:
            step(host, ledger.keep, "clean up")

    engine = PaperEngine(sync(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    engine.wake(lambda pos: CancelRequested(pos, 1000, "stop"), slot=True)
    assert await finished(engine) == CancelledOutcome("stop")
    assert ledger.runs == ["clean up"]


async def test_a_blocking_call_in_an_async_function_is_an_error() -> None:
    async def function(host: Host) -> None:
        step(host, Ledger().keep, 1)

    outcome = await output_of(function)
    assert isinstance(outcome, RunFailed)
    assert "await the durable call" in outcome.failure.message


@pytest.mark.parametrize("seed", range(3))
async def test_many_sync_runs_beside_each_other_end(seed: int) -> None:
    def function(host: Host) -> int:
        values = host.gather([partial(step, host, Ledger().keep, n) for n in range(4)])
        return sum(values)

    engine = PaperEngine(sync(function), slots=8)
    for number in range(8):
        engine.start(f"run_{seed}_{number}")
    assert [await finished(engine, run) for run in list(engine.runs)] == [6] * 8


@pytest.mark.parametrize(("preset", "frames"), [(Checkpoint.SAFE, 7), (Checkpoint.BLENDED, 3), (Checkpoint.OFF, 7)])
async def test_its_steps_are_made_durable_as_its_setting_says(preset: Checkpoint, frames: int) -> None:
    ledger = Ledger()

    def function(host: Host) -> int:
        return sum(step(host, ledger.keep, 1) for _ in range(7))

    engine = PaperEngine(sync(function, checkpoint=preset))
    run = engine.start()
    while (ended := await finished(engine)) == HandedBack("its time here is over"):
        run.outcome = None
        engine.runner.handle(run.assign())
    with_entries = [segment for segment in run.segments if decode_entries(segment.entries)]
    assert (ended, len(ledger.runs), len(with_entries)) == (7, 7, frames)
    await engine.runner.close()
