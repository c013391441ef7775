"""Timers fire when they are due, not before, and nobody polls for them."""

from __future__ import annotations

import asyncio

from onward_engine.settings import Bounds
from onward_protocol.messages import Wake

from tests.support import Network, simulate
from tests.unit.engine.peer import Peer, engine, park, send
from tests.unit.engine.stores import Gated

DAY_MS = 24 * 60 * 60 * 1000


def test_a_sleep_is_over_when_it_is_due_and_not_before() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            at_ms = running.clock.monotonic_ms()
            await park(worker, run, ms=90_000)
            await worker.next(Wake, run)
            assert running.clock.monotonic_ms() - at_ms == 90_000

    simulate(main)


def test_an_earlier_sleep_is_not_held_up_by_a_later_one() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            late, early = await send(running), await send(running)
            await park(worker, late, ms=DAY_MS)
            at_ms = running.clock.monotonic_ms()
            await park(worker, early, ms=500)
            await worker.next(Wake, early)
            assert running.clock.monotonic_ms() - at_ms == 500

    simulate(main)


def test_a_sleep_survives_the_engine() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as first:
            worker = await Peer(first).connect()
            run = await send(first)
            await park(worker, run, ms=20_000)
        await asyncio.sleep(60)
        async with engine(store) as second:
            worker.engine = second
            await worker.connect()
            assert (await worker.next(Wake, run)).slot

    simulate(main)


def test_many_timers_that_are_due_together_fire_in_bounded_batches() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=Bounds(timers_max=100)) as running:
            worker = await Peer(running, slots=250).connect()
            runs = [await send(running) for _ in range(250)]
            for run in runs:
                await park(worker, run, ms=5_000)
            for run in runs:
                await worker.next(Wake, run)
            assert 3 <= sum("FireTimers" in batch for batch in store.batches) <= 10

    simulate(main)


def test_an_idle_engine_writes_nothing() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            await Peer(running).connect()
            await asyncio.sleep(3_600)
            before = len(store.batches)
            await asyncio.sleep(3_600)
            assert len(store.batches) == before

    simulate(main)
