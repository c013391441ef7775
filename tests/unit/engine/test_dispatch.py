"""Queued runs meet free slots."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from msgspec import Raw
from onward_engine import dispatch
from onward_engine.connections import COMPARED
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Claim, Committed, Ingest, Op, Rejected
from onward_protocol.messages import Assign, RunCompleted, Wake

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, Peer, engine, park, send
from tests.unit.engine.stores import Gated


def test_an_event_becomes_an_assignment_and_a_result() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            assert (await worker.complete(run)).seq == 1
            ended = await running.endings.wait(run)
            assert ended is not None
            assert ended.status == "completed"

    simulate(main)


def test_with_a_free_worker_the_event_and_its_assignment_are_one_transaction() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            worker = await Peer(running).connect()
            await asyncio.sleep(0.01)  # what its first beat causes is durable
            await send(running)
            await worker.next(Assign)
            assert [Ingest.__name__, Claim.__name__] in store.batches

    simulate(main)


class RefusingOnce(MemoryStore):
    """A store that cannot carry out the first claim."""

    is_refused = False

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        if self.is_refused or not any(isinstance(op, Claim) for op in ops):
            return await super().apply(ops)
        self.is_refused = True
        committed = await super().apply([op for op in ops if not isinstance(op, Claim)])
        others = iter(committed.outcomes)
        refused = Rejected("unstorable", "in a test")
        outcomes = tuple(refused if isinstance(op, Claim) else next(others) for op in ops)
        return Committed(outcomes, committed.notices)


def test_a_run_whose_claim_was_refused_is_claimed_again() -> None:
    async def main(_: Network) -> None:
        async with engine(RefusingOnce()) as running:
            run = await send_first(running)
            worker = await Peer(running).connect()
            assert (await asyncio.wait_for(worker.next(Assign, run), 10)).epoch == 1

    async def send_first(running: Engine) -> str:
        before = await Peer(running, slots=0, instance="wrk_before").connect()
        run = await send(running)
        before.cut()
        return run

    simulate(main)


def test_a_worker_never_gets_more_than_it_has_slots() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=3).connect()
            accepted = await running.ingest.accept([Incoming(name="order/placed")] * 10)
            for one in accepted:
                await worker.complete(one.runs[0])
            assert worker.most == 3

    simulate(main)


def test_work_goes_to_whoever_has_most_free_slots() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            small = await Peer(running, slots=2, instance="wrk_small").connect()
            large = await Peer(running, slots=5, instance="wrk_large").connect()
            for _round in range(5):
                await send(running)
                await asyncio.sleep(0.01)
            assert (len(small.holdings), len(large.holdings)) == (1, 4)

    simulate(main)


def test_a_burst_is_spread_over_the_workers() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            workers = [await Peer(running, slots=100, instance=f"wrk_{n}").connect() for n in range(2)]
            await running.ingest.accept([Incoming(name="order/placed")] * 12)
            await asyncio.sleep(1)
            assert sorted(len(worker.holdings) for worker in workers) == [4, 8]

    simulate(main)


class Counting(MemoryStore):
    """A store that keeps how many runs each claim has taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        committed = await super().apply(ops)
        outcomes = zip(ops, committed.outcomes, strict=True)
        self.taken += [len(cast("tuple[object, ...]", outcome)) for op, outcome in outcomes if isinstance(op, Claim)]
        return committed


def test_runs_that_carry_much_are_claimed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(_: Network) -> None:
        store = Counting()
        async with engine(store) as running:
            worker = await Peer(running, slots=0).connect()
            data = Raw(b'"' + b"x" * 1_000 + b'"')
            await running.ingest.accept([Incoming(name="order/placed", data=data)] * 40)
            worker.cut()
            await Peer(running, slots=100, instance="wrk_large").connect()
            await asyncio.sleep(1)
            assert [taken for taken in store.taken if taken] == [8] + [4] * 8

    monkeypatch.setattr(dispatch, "CLAIM_BYTES", 4_008)
    simulate(main)


def test_what_was_claimed_for_a_worker_that_has_gone_is_given_away_at_once() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            first = await Peer(running, slots=9, instance="wrk_first").connect()
            second = await Peer(running, instance="wrk_second").connect()
            await asyncio.sleep(0.1)
            store.gate.clear()
            sending = asyncio.create_task(send(running))
            await asyncio.sleep(0.1)
            first.cut()
            await first.gone()
            lost_at_ms = running.clock.monotonic_ms()
            store.gate.set()
            assert (await second.next(Assign, await sending)).epoch == 2
            assert running.clock.monotonic_ms() - lost_at_ms < running.settings.times.grace_ms

    simulate(main)


def test_a_woken_run_goes_on_where_it_is_parked_with_a_slot_of_its_own() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=1).connect()
            run = await send(running)
            epoch = await park(worker, run)
            wake = await worker.next(Wake, run)
            assert (wake.epoch, wake.slot, [entry.key for entry in wake.entries]) == (epoch, True, ["nap"])  # type: ignore[union-attr]

    simulate(main)


def test_a_woken_run_waits_for_a_slot_of_its_holder_only_so_long() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            holder = await Peer(running, slots=1, instance="wrk_holder").connect()
            parked = await send(running)
            await park(holder, parked)
            await asyncio.sleep(0.5)
            busy = await send(running)
            await holder.next(Assign, busy)
            other = await Peer(running, slots=1, instance="wrk_other").connect()
            assign = await other.next(Assign, parked)
            assert (assign.epoch, [entry.pos for entry in assign.entries]) == (2, [1])

    simulate(main)


def test_a_slot_that_becomes_free_admits_a_waiting_run_first() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running, slots=1).connect()
            parked = await send(running)
            await park(worker, parked, ms=500)
            busy = await send(running)
            epoch = (await worker.next(Assign, busy)).epoch
            await asyncio.sleep(0.6)
            waiting = await send(running)
            worker.report(busy, epoch, 1, outcome=RunCompleted(NIL))
            assert (await worker.next(Wake, parked)).slot
            assert worker.holdings.get(waiting) is None

    simulate(main)


def test_work_is_dealt_to_many_workers_by_turns_and_those_that_were_full_get_some_again() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            workers = [await Peer(running, instance=f"wrk_{n:02}", slots=1).connect() for n in range(COMPARED + 8)]
            for _round in range(2):
                for _worker in workers:
                    await send(running)
                async with asyncio.timeout(10):
                    for worker in workers:
                        given = await worker.next(Assign)
                        worker.report(given.run, given.epoch, 1, outcome=RunCompleted(NIL))
                await asyncio.sleep(10)  # every worker says with a beat that it has room again

    simulate(main)
