"""Runs of many steps: what they cost does not grow with their length, and long journals hold up nobody."""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from onward import step
from onward.host import Host
from onward.run.residence import READ_BYTES
from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    Due,
    Fence,
    HandedBack,
    RunCompleted,
    RunFailed,
    Segment,
    Sleep,
    StepDone,
    WaitOpened,
    WorkerEntry,
)

from tests.support.paper_engine import PaperEngine, PaperRun, Program, finished, quiet, until

LARGE = msgspec.msgpack.encode(bytes(READ_BYTES))
"""A result of `load` that takes a turn of its own to be read."""


@step
async def tick() -> int:
    return 1


@step
async def load() -> bytes:
    return b""


@pytest.fixture
def traced() -> Iterator[None]:
    """Count what is allocated."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def recorded(steps: int, output: bytes = LARGE) -> list[Segment]:
    """The journal of a run of `load`s, as an earlier residence left it."""
    return [segment(n + 1, StepDone(f"load@0#{n}", output)) for n in range(steps)]


def segment(seq: int, *entries: WorkerEntry) -> Segment:
    return Segment(1, seq, encode_entries(entries))


def resumed(engine: PaperEngine, segments: list[Segment], *entries: Due) -> PaperRun:
    """Assign a run that has this journal."""
    run = engine.runs["run_1"] = PaperRun("run_1", "app/fn", segments=segments, entries=list(entries))
    run.epoch = 1
    engine.runner.handle(run.assign())
    return run


async def test_a_run_keeps_nothing_of_what_is_behind_it() -> None:
    """Blocks of memory are counted: what is kept of a round, be it a key, is one more in each of them."""
    blocks: list[int] = []

    async def function(host: Host) -> None:
        for n in range(2_001):
            await tick()
            await asyncio.gather(tick(), tick())
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.sleep(60)
            if n % 1_000 == 0:
                engine.runs["run_1"].segments.clear()  # which is the engine's memory, not the worker's
                gc.collect()
                blocks.append(sys.getallocatedblocks())

    engine = PaperEngine(Program(function))
    engine.start()
    await finished(engine)
    await engine.runner.close()
    assert blocks[2] - blocks[1] < 500


@pytest.mark.usefixtures("traced")
async def test_a_journal_is_forgotten_as_it_is_delivered() -> None:
    used: list[int] = []

    async def function(host: Host) -> None:
        used.append(memory())
        for _ in range(100):
            await load()
        used.append(memory())

    engine = PaperEngine(Program(function))
    used.append(memory())
    run = resumed(engine, recorded(100))
    run.segments = []
    await finished(engine)
    await engine.runner.close()
    before, at_first, at_last = used
    assert at_first - before > 100 * len(LARGE)
    assert at_last - before < 10 * len(LARGE)


async def test_a_long_journal_is_read_in_many_turns_of_the_loop_before_the_code_starts() -> None:
    turns = 0

    async def function(host: Host) -> int:
        return turns

    engine = PaperEngine(Program(function))
    resumed(engine, recorded(10))
    while not isinstance(engine.runs["run_1"].outcome, RunCompleted):
        await asyncio.sleep(0)
        turns += 1
    assert await finished(engine) >= 9
    await engine.runner.close()


async def test_an_entry_of_the_engine_that_comes_while_the_journal_is_read_stands_behind_it() -> None:
    order: list[str] = []

    async def function(host: Host) -> None:
        async def nap() -> None:
            await host.wait("nap", Sleep(1))
            order.append("nap")

        task = asyncio.create_task(nap())
        for _ in range(11):
            await load()
            order.append("load")
        await task

    engine = PaperEngine(Program(function))
    last = segment(11, WaitOpened("nap@0.0#0", Sleep(1)), StepDone("load@0#10", LARGE))
    resumed(engine, [*recorded(10), last])
    engine.wake(lambda pos: Due(pos, "nap@0.0#0"))
    await finished(engine)
    assert order == ["load"] * 11 + ["nap"]
    await engine.runner.close()


async def never(host: Host) -> None:
    raise AssertionError("the code has started")


async def test_a_run_that_is_fenced_while_its_journal_is_read_never_starts() -> None:
    engine = PaperEngine(Program(never))
    run = resumed(engine, recorded(10))
    engine.runner.handle(Fence("run_1", 2))
    await quiet(engine)
    assert (engine.runner.held(), engine.runner.free, run.outcome) == ((), 4, None)
    await engine.runner.close()


async def test_a_worker_that_stops_while_a_journal_is_read_hands_the_run_back_at_once() -> None:
    engine = PaperEngine(Program(never))
    run = resumed(engine, recorded(10))
    await engine.runner.drain()
    await quiet(engine)
    assert isinstance(run.outcome, HandedBack)
    await engine.runner.close()


async def test_garbage_at_the_end_of_a_long_journal_fails_the_run() -> None:
    engine = PaperEngine(Program(never))
    run = resumed(engine, [*recorded(10), Segment(1, 11, b"\xc1")])
    await until(lambda: run.outcome is not None)
    assert isinstance(run.outcome, RunFailed)
    await engine.runner.close()


async def test_a_run_that_is_assigned_again_while_its_journal_is_read_starts_once() -> None:
    starts: list[int] = []

    async def function(host: Host) -> None:
        starts.append(host.epoch)

    engine = PaperEngine(Program(function))
    run = resumed(engine, recorded(10))
    engine.runner.handle(run.assign())
    await finished(engine)
    await quiet(engine)
    assert starts == [3]
    await engine.runner.close()
