"""Blocks that end at a moment which stands in the engine, in async and in sync functions."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from onward.errors import RunCancelled, StepInsideStep
from onward.host import Host
from onward.timeout import DurableTimeout, SyncTimeout
from onward_protocol.messages import CancelRequested, Due, EventWait, Parked, Sleep, StepDone, WaitClosed
from onward_protocol.messages import RunCancelled as CancelledOutcome

from tests.support.paper_engine import PaperEngine, PaperRun, Program, call, finished, output_of, quiet, until

HOUR = Sleep(3_600_000)
LIMIT = "limit@0#0"


def limit(host: Host, name: str = "limit") -> DurableTimeout:
    return DurableTimeout(host, name, HOUR)


def sync_limit(host: Host, name: str = "limit") -> SyncTimeout:
    return SyncTimeout(host, name, HOUR)


async def told(value: str) -> str:
    return value


def due(key: str = LIMIT) -> Callable[[int], Due]:
    return lambda pos: Due(pos, key, 5_000)


async def parked(program: Program) -> tuple[PaperEngine, PaperRun]:
    engine = PaperEngine(program)
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    return engine, run


async def replayed(engine: PaperEngine) -> Any:
    """Replay the whole journal on another worker; it has to write nothing."""
    run = engine.runs["run_1"]
    before = len(run.written)
    engine.restart()
    result = await finished(engine)
    assert run.written[before:] == []
    return result


async def waits(host: Host) -> str:
    """Wait inside a limit, and take another way when it is over."""
    try:
        async with limit(host):
            await host.wait("answer", EventWait("e"))
            return "answered"
    except TimeoutError:
        return str(await host.step(call(told, "too late", id="fallback")))


async def test_a_wait_that_takes_too_long_is_closed_and_the_block_times_out() -> None:
    engine, run = await parked(Program(waits))
    engine.wake(due(), slot=True)
    assert await finished(engine) == "too late"
    assert WaitClosed("answer@0#0") in run.written
    assert await replayed(engine) == "too late"


async def test_a_block_that_ends_in_time_closes_its_limit() -> None:
    engine, run = await parked(Program(waits))
    engine.wake(due("answer@0#0"), slot=True)
    assert await finished(engine) == "answered"
    assert run.written[-1] == WaitClosed(LIMIT)
    assert await replayed(engine) == "answered"


async def test_the_time_goes_on_while_no_worker_has_the_run() -> None:
    engine, run = await parked(Program(waits))
    run.write(due())
    engine.restart()
    assert await finished(engine) == "too late"
    assert sum(getattr(entry, "key", "") == LIMIT for entry in run.written) == 1, "it was opened once"


async def test_a_step_inside_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def function(host: Host) -> str:
        try:
            async with limit(host):
                await host.step(call(body, id="s"))
        except TimeoutError:
            return "too late"
        return "?"

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: LIMIT in run.open)
    engine.wake(due())
    assert await finished(engine) == "too late"
    await asyncio.wait_for(cancelled.wait(), 5)
    assert await replayed(engine) == "too late"


@pytest.mark.parametrize(("key", "expected"), [("outer@0#0", "outer"), ("inner@0#0", "inner, then fine")])
async def test_limits_nest(key: str, expected: str) -> None:
    async def function(host: Host) -> str:
        try:
            async with limit(host, "outer"):
                try:
                    async with limit(host, "inner"):
                        await host.wait("answer", EventWait("e"))
                except TimeoutError:
                    return "inner, then " + str(await host.step(call(told, "fine", id="s")))
        except TimeoutError:
            return "outer"
        return "?"

    engine, _ = await parked(Program(function))
    engine.wake(due(key), slot=True)
    assert await finished(engine) == expected
    assert await replayed(engine) == expected


async def test_a_limit_inside_of_a_task_ends_that_task_only() -> None:
    async def one(host: Host, name: str) -> str:
        try:
            async with limit(host):
                await host.wait(name, EventWait("e"))
                return f"{name} answered"
        except TimeoutError:
            return f"{name} too late"

    async def function(host: Host) -> list[str]:
        return [*await asyncio.gather(one(host, "a"), one(host, "b"))]

    engine, _ = await parked(Program(function))
    engine.wake(due("limit@0.1#0"), slot=True)
    engine.wake(due("a@0.0#0"), slot=True)
    assert await finished(engine) == ["a answered", "b too late"]


async def test_a_block_that_catches_its_cancellation_ends_as_it_likes() -> None:
    async def function(host: Host) -> list[Any]:
        async with limit(host) as block:
            try:
                await host.wait("answer", EventWait("e"))
            except asyncio.CancelledError:
                return ["went on", block.expired()]
        return []

    engine, _ = await parked(Program(function))
    engine.wake(due(), slot=True)
    assert (await finished(engine))[0] == "went on"


async def test_a_block_without_a_wait_asks_the_engine_for_nothing() -> None:
    async def function(host: Host) -> str:
        async with limit(host):
            return "done"

    engine = PaperEngine(Program(function))
    run = engine.start()
    assert await finished(engine) == "done"
    assert run.written == []


async def test_the_runs_own_cancellation_is_no_timeout() -> None:
    async def function(host: Host) -> None:
        try:
            async with limit(host):
                await host.wait("answer", EventWait("e"))
        except TimeoutError:
            pytest.fail("it was not the limit")
        except RunCancelled:
            await host.step(call(told, "cleaned", id="cleanup"))
            raise

    engine, run = await parked(Program(function))
    engine.wake(lambda pos: CancelRequested(pos, 1_000, "enough"), slot=True)
    assert await finished(engine) == CancelledOutcome("enough")
    assert StepDone in [type(entry) for entry in run.written]


async def test_a_limit_inside_of_a_step_is_refused() -> None:
    async def function(host: Host) -> str:
        async def body() -> str:
            try:
                async with limit(host):
                    return "?"
            except StepInsideStep:
                return "refused"

        return str(await host.step(call(body, id="s")))

    assert await output_of(function) == "refused"


# -- sync functions


def waits_in_a_thread(host: Host) -> str:
    try:
        with sync_limit(host):
            host.block(lambda: host.wait("answer", EventWait("e")))
            return "answered"
    except TimeoutError:
        return str(host.block(lambda: host.step(call(told, "too late", id="fallback"))))


async def test_a_sync_block_times_out_in_its_durable_call() -> None:
    engine, run = await parked(Program(waits_in_a_thread, is_sync=True))
    engine.wake(due(), slot=True)
    assert await finished(engine) == "too late"
    assert WaitClosed("answer@0#0") in run.written
    assert await replayed(engine) == "too late"


async def test_a_sync_block_that_ends_in_time_closes_its_limit() -> None:
    engine, run = await parked(Program(waits_in_a_thread, is_sync=True))
    engine.wake(due("answer@0#0"), slot=True)
    assert await finished(engine) == "answered"
    assert WaitClosed(LIMIT) in run.written
    assert await replayed(engine) == "answered"


async def test_a_limit_that_is_over_reaches_busy_code_at_its_next_durable_call() -> None:
    release = threading.Event()
    calls: list[str] = []

    def function(host: Host) -> list[str]:
        def ask(name: str) -> None:
            host.block(lambda: host.step(call(told, name, id="s")))
            calls.append(name)

        try:
            with sync_limit(host):
                ask("one")
                release.wait(10)
                ask("two")
        except TimeoutError:
            ask("three")
        return calls

    engine = PaperEngine(Program(function, is_sync=True))
    run = engine.start()
    await until(lambda: calls and LIMIT in run.open)
    engine.wake(due())
    await quiet(engine)
    release.set()
    assert await finished(engine) == ["one", "three"]
    calls.clear()
    assert await replayed(engine) == ["one", "three"]


async def test_the_end_of_a_block_in_time_is_the_same_on_a_replay_although_its_moment_came_after() -> None:
    release, left = threading.Event(), threading.Event()

    def function(host: Host) -> str:
        try:
            with sync_limit(host):
                host.block(lambda: host.step(call(told, "one", id="s")))
            left.set()
            release.wait(10)
            return str(host.block(lambda: host.step(call(told, "in time", id="s"))))
        except TimeoutError:
            return "too late"

    engine = PaperEngine(Program(function, is_sync=True))
    run = engine.start()
    await until(left.is_set)
    engine.wake(due())
    await until(lambda: engine.runner.held()[0].known == 1)
    release.set()
    assert await finished(engine) == "in time"
    assert run.seen == 1
    assert await replayed(engine) == "in time"


async def test_a_limit_around_a_gather_reaches_all_of_its_threads() -> None:
    def one(host: Host, name: str) -> str:
        try:
            host.block(lambda: host.wait(name, EventWait("e")))
        except asyncio.CancelledError:
            host.block(lambda: host.step(call(told, name, id="cleanup")))
            raise
        return "?"

    def function(host: Host) -> str:
        try:
            with sync_limit(host):
                host.gather([partial(one, host, name) for name in "abc"], 2)
        except TimeoutError:
            return "too late"
        return "?"

    engine, run = await parked(Program(function, is_sync=True))
    engine.wake(due(), slot=True)
    assert await finished(engine) == "too late"
    done = sorted(entry.key for entry in run.written if isinstance(entry, StepDone))
    assert done == ["cleanup@0.0#0", "cleanup@0.1#0", "cleanup@0.2#0"]
    assert await replayed(engine) == "too late"


async def test_a_cancelled_sync_run_repeats_its_clean_up_with_the_same_step() -> None:
    began = threading.Event()

    def work(value: str) -> str:
        if value == "work":
            began.set()
            release.wait(10)
        return value

    release = threading.Event()

    def function(host: Host) -> None:
        host.block(lambda: host.step(call(work, "prepare", id="s")))
        try:
            host.block(lambda: host.step(call(work, "work", id="s")))
        except RunCancelled:
            host.block(lambda: host.step(call(work, "undo", id="s")))
            raise

    engine = PaperEngine(Program(function, is_sync=True))
    run = engine.start()
    await until(began.is_set)
    engine.wake(lambda pos: CancelRequested(pos, 1_000, "enough"))
    assert await finished(engine) == CancelledOutcome("enough")
    release.set()
    assert [entry.key for entry in run.written if isinstance(entry, StepDone)] == ["s@0#0", "s@0#2"]
    assert await replayed(engine) == CancelledOutcome("enough")
