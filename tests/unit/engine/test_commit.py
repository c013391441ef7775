"""Group commit: in order, all or nothing, and only then spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from onward_engine.commit import Refused
from onward_engine.engine import Engine
from onward_engine.settings import Bounds
from onward_engine.store.port import Present, Register, StoreBroken, StoreFull
from onward_protocol.busy_poll import PRICE, BusyPoll
from onward_protocol.messages import Ack, Assign, Outcome, RunCompleted, StepDone

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, SHOP, Peer, engine, send
from tests.unit.engine.stores import Failing, Gated


def test_everything_that_waits_goes_into_one_transaction() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            await asyncio.gather(*(running.committer.commit(Register(now_ms=1, app=SHOP)) for _ in range(50)))
            assert ["Register"] * 50 in store.batches

    simulate(main)


def test_the_answers_of_one_transaction_leave_in_one_message() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            runs = [await send(running) for _ in range(4)]
            epochs = [(await worker.next(Assign, run)).epoch for run in runs]
            before = worker.messages
            for run, epoch in zip(runs, epochs, strict=True):
                worker.report(run, epoch, 1, StepDone("a", NIL))
            for run in runs:
                await worker.next(Ack, run)
            assert worker.messages == before + 1

    simulate(main)


def test_nothing_is_answered_before_it_is_durable() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            store.gate.clear()
            worker.report(run, epoch, 1, StepDone("a", NIL))
            sending = asyncio.create_task(send(running))
            await asyncio.sleep(5)
            assert not sending.done()
            assert not any(isinstance(frame, Ack) for frame in worker.frames)
            store.gate.set()
            await worker.next(Ack, run)
            await sending

    simulate(main)


def test_a_full_disk_refuses_what_can_be_sent_again_and_keeps_what_cannot() -> None:
    async def main(_: Network) -> None:
        store = Failing()
        async with engine(store) as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            store.is_full = True
            worker.report(run, epoch, 1, StepDone("a", NIL))
            await asyncio.sleep(0.1)
            with pytest.raises(Refused, match="disk is full"):
                await send(running)
            await asyncio.sleep(30)
            store.is_full = False
            assert (await worker.next(Ack, run)).seq == 1
            await send(running)

    simulate(main)


def test_work_from_outside_is_refused_when_too_much_waits() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=Bounds(commit_ops_max=3)) as running:
            await Peer(running).connect()
            await asyncio.sleep(0.01)  # what its first beat causes is durable
            store.gate.clear()
            first = asyncio.create_task(send(running))
            await asyncio.sleep(0.1)
            waiting = [asyncio.create_task(send(running)) for _ in range(3)]
            await asyncio.sleep(0.1)
            with pytest.raises(Refused, match="try again"):
                await send(running)
            store.gate.set()
            await asyncio.gather(first, *waiting)

    simulate(main)


def test_what_is_urgent_goes_before_all_that_waits_however_much_that_is() -> None:
    async def main(_: Network) -> None:
        store = Gated()
        async with engine(store, bounds=Bounds(commit_ops_max=3)) as running:
            store.gate.clear()
            waiting = [asyncio.create_task(running.committer.commit(Register(0, SHOP)))]
            await asyncio.sleep(0.1)
            waiting += [asyncio.create_task(running.committer.commit(Register(0, SHOP))) for _ in range(3)]
            await asyncio.sleep(0.1)
            urgent = asyncio.create_task(running.committer.commit(Present(0, "here", 5_000), is_urgent=True))
            await asyncio.sleep(0.1)
            store.gate.set()
            await asyncio.gather(urgent, *waiting)
            assert store.batches[-1] == ["Present", "Register", "Register", "Register"]

    simulate(main)


def test_a_disk_that_fails_ends_the_engine_and_acknowledges_nothing() -> None:
    async def main(_: Network) -> None:
        store = Failing()
        running = Engine(store=store, listens=False)
        await running.start()
        worker = await Peer(running).connect()
        store.is_broken = True
        with pytest.raises(Refused, match="has stopped"):
            await send(running)
        await worker.gone()
        with pytest.raises(StoreBroken, match="the disk failed"):
            await running.stop()

    simulate(main)


def test_an_engine_does_not_start_on_a_full_disk() -> None:
    async def main(_: Network) -> None:
        store = Failing()
        store.is_full = True
        with pytest.raises(StoreFull, match="free some space"):
            await Engine(store=store, listens=False).start()

    simulate(main)


async def turns_after(engine: Engine, *, runs: int, frames: int, outcome: Outcome | None = None) -> int:
    """Let runs report so many steps each, always together; return for how many next ones the engine stays awake."""
    turns: list[Callable[[], None]] = []
    engine.committer.busy_poll = BusyPoll(1_000, clock_us=lambda: 0, call_soon=turns.append)
    worker = await Peer(engine).connect()
    ids = [await send(engine) for _ in range(runs)]
    epochs = [(await worker.next(Assign, run)).epoch for run in ids]
    for seq in range(1, frames + 1):
        for run, epoch in zip(ids, epochs, strict=True):
            worker.report(run, epoch, seq, StepDone(f"a{seq}", NIL), outcome=outcome if seq == frames else None)
        for run in ids:
            await worker.next(Ack, run)
    return len(turns)


def test_an_engine_stays_awake_for_the_next_step_of_a_lone_run_only() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            assert await turns_after(running, runs=1, frames=PRICE) == 0
        async with engine() as running:
            assert await turns_after(running, runs=1, frames=PRICE + 1) == 1
        async with engine() as running:
            assert await turns_after(running, runs=2, frames=PRICE + 1) == 0

    simulate(main)


def test_behind_the_end_of_a_run_nothing_is_expected() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            assert await turns_after(running, runs=1, frames=PRICE + 1, outcome=RunCompleted(NIL)) == 0

    simulate(main)


def test_an_engine_sleeps_unless_it_is_told_to_stay_awake() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            assert running.committer.busy_poll is None
        async with engine(busy_poll=True) as running:
            assert running.committer.busy_poll is not None

    simulate(main)
