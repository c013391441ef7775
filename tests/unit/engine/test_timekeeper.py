"""The time of day jumps: what counts from now does not hear of it, what stands for a moment of the day follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from onward_engine.clock import JUMP_MS, SystemClock
from onward_engine.engine import Engine
from onward_engine.model import Status
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_protocol.messages import Ack, Assign, Parked, Sleep, StepDone, WaitOpened, Wake

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, Peer, park, send

HOUR_MS = 3_600_000


class Set(SystemClock):
    """A machine whose time of day somebody sets."""

    def __init__(self) -> None:
        self.set_by_ms = 0
        super().__init__()

    def _system_ms(self) -> int:
        return super()._system_ms() + self.set_by_ms


@asynccontextmanager
async def engine(clock: SystemClock, store: MemoryStore | None = None) -> AsyncGenerator[Engine]:
    async with Engine(Settings(), store or MemoryStore(), clock=clock, listens=False) as running:
        yield running


async def sleep_until(running: Engine, worker: Peer, at_ms: int) -> str:
    run = await send(running)
    epoch = (await worker.next(Assign, run)).epoch
    entries = (StepDone("work", NIL), WaitOpened("nap", Sleep(0, at_ms)))
    worker.report(run, epoch, 1, *entries, outcome=Parked())
    await worker.next(Ack, run)
    return run


async def status(running: Engine, run: str) -> Status:
    found = await running.store.run(run)
    assert found is not None
    return found.status


@pytest.mark.parametrize("by_ms", [-8_000 * HOUR_MS, -HOUR_MS, HOUR_MS, 8_000 * HOUR_MS])
def test_a_sleep_takes_as_long_as_it_was_meant_to(by_ms: int) -> None:
    async def main(_: Network) -> None:
        clock = Set()
        async with engine(clock) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            begin_ms = clock.monotonic_ms()
            await park(worker, run, ms=HOUR_MS)
            await asyncio.sleep(600)
            clock.set_by_ms = by_ms
            await worker.next(Wake, run)
            assert clock.monotonic_ms() - begin_ms == pytest.approx(HOUR_MS, abs=100)
            assert clock.wall_ms() == clock._system_ms()

    simulate(main)


def test_what_stands_for_a_moment_of_the_day_follows() -> None:
    async def main(_: Network) -> None:
        clock = Set()
        async with engine(clock) as running:
            worker = await Peer(running).connect()
            run = await sleep_until(running, worker, clock.wall_ms() + 2 * HOUR_MS)
            clock.set_by_ms = HOUR_MS
            begin_ms = clock.monotonic_ms()
            await worker.next(Wake, run)
            assert clock.monotonic_ms() - begin_ms == pytest.approx(HOUR_MS, abs=20_000)

    simulate(main)


def test_a_clock_that_was_set_back_before_a_start_is_noticed() -> None:
    async def main(_: Network) -> None:
        clock, store = Set(), MemoryStore()
        async with engine(clock, store) as first:
            worker = await Peer(first).connect()
            run = await send(first)
            await park(worker, run, ms=HOUR_MS)
            await asyncio.sleep(60)
        clock = Set()
        clock.set_by_ms = -8_000 * HOUR_MS
        clock.follow()
        async with engine(clock, store) as second:
            worker.engine = second
            await worker.connect()
            begin_ms = clock.monotonic_ms()
            await worker.next(Wake, run)
            assert clock.monotonic_ms() - begin_ms == pytest.approx(HOUR_MS, abs=60_000)

    simulate(main)


def test_a_small_correction_is_followed_at_once() -> None:
    clock = Set()
    before_ms = clock.wall_ms()
    clock.set_by_ms = JUMP_MS
    assert clock.jump_ms() == 0
    assert clock.wall_ms() - before_ms == pytest.approx(JUMP_MS, abs=1_000)


def test_a_jump_is_followed_when_it_is_asked_for() -> None:
    clock = Set()
    before_ms = clock.wall_ms()
    clock.set_by_ms = -2 * JUMP_MS
    assert clock.jump_ms() == pytest.approx(-2 * JUMP_MS, abs=1_000)
    assert clock.wall_ms() - before_ms < 1_000
    clock.follow()
    assert clock.wall_ms() - before_ms == pytest.approx(-2 * JUMP_MS, abs=1_000)
