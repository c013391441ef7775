"""Long journals on their way to a worker: complete, in order, a page at a time, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from onward_engine.engine import Engine
from onward_engine.model import Status
from onward_engine.settings import Bounds, Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import JOURNAL_PAGE_BYTES, JournalPage, StoreBroken
from onward_protocol.codec import decode_entries
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    Assign,
    CancelRequested,
    Fence,
    HandedBack,
    RunCompleted,
    Seen,
    Sleep,
    StepDone,
    WaitOpened,
    Wake,
)

from tests.support import Network, simulate
from tests.unit.engine.peer import NIL, Peer, engine, send

KIB = 1024
PAGE = 10 * KIB
BOUNDS = Bounds(claim_journal_bytes_max=KIB, journal_page_bytes=PAGE)


class Paged(MemoryStore):
    """Notes which pages were asked for; each takes a moment, as on a disk."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[str] = []
        self.is_broken = False

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        self.pages.append(run)
        await asyncio.sleep(0.001)
        if self.is_broken:
            raise StoreBroken("the disk failed")
        return await super().journal(run, after, limit_bytes)


Story = Callable[[Engine, Paged], Awaitable[None]]


def tell(story: Story) -> None:
    async def main(_: Network) -> None:
        store = Paged()
        async with engine(store, bounds=BOUNDS) as running:
            await story(running, store)

    simulate(main)


async def left_behind(running: Engine, *steps: int, size: int = KIB) -> list[str]:
    """Return runs of so many steps each, whose worker was lost; anybody may have them now."""
    worker = await Peer(running, slots=len(steps), instance="wrk_first").connect()
    runs = [await send(running) for _ in steps]
    for run, count in zip(runs, steps, strict=True):
        epoch = (await worker.next(Assign, run)).epoch
        for seq in range(1, count + 1):
            worker.report(run, epoch, seq, StepDone(f"step {seq}", bytes(size)))
        while (await worker.next(Ack, run)).seq < count:
            pass
    worker.cut()
    await worker.gone()
    await asyncio.sleep(1.1)
    return runs


async def first_page(store: Paged, count: int = 1) -> None:
    while len(store.pages) < count:  # noqa: ASYNC110 - the store is the test's own
        await asyncio.sleep(0.001)


def steps_of(assign: Assign) -> list[str]:
    entries = [entry for segment in assign.segments for entry in decode_entries(segment.entries)]
    return [entry.key for entry in entries if isinstance(entry, StepDone)]


@pytest.mark.parametrize("steps", [1, 9, 10, 11, 300])
def test_a_long_journal_arrives_whole_and_in_order(steps: int) -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, steps)
        worker = await Peer(running).connect()
        assign = await worker.next(Assign, run)
        assert steps_of(assign) == [f"step {n}" for n in range(1, steps + 1)]
        places = [(segment.epoch, segment.seq) for segment in assign.segments]
        assert all(one < other for one, other in pairwise(places))
        assert len(store.pages) >= steps * KIB // PAGE

    tell(story)


def test_a_short_journal_comes_in_one_frame_and_costs_nobody_a_page() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 3, size=10)
        worker = await Peer(running).connect()
        assert len(steps_of(await worker.next(Assign, run))) == 3
        assert store.pages == []

    tell(story)


def test_a_large_event_is_no_long_journal() -> None:
    async def story(running: Engine, store: Paged) -> None:
        worker = await Peer(running).connect()
        run = await running.ingest.start("shop/order", bytes(100 * KIB))
        assert len((await worker.next(Assign, run)).input) == 100 * KIB
        assert store.pages == []

    tell(story)


def test_what_the_engine_wrote_into_the_run_comes_too() -> None:
    async def story(running: Engine, _: Paged) -> None:
        worker = await Peer(running).connect()
        run = await send(running)
        epoch = (await worker.next(Assign, run)).epoch
        worker.report(run, epoch, 1, StepDone("large", bytes(30 * KIB)), WaitOpened("nap", Sleep(10)))
        wake = await worker.next(Wake, run)
        worker.report(run, epoch, 2, Seen(wake.entries[0].pos), outcome=HandedBack())
        again = await worker.next(Assign, run)
        assert [entry.pos for entry in again.entries] == [1]

    tell(story)


def test_pages_are_read_as_the_worker_takes_them_however_many_runs_wait() -> None:
    async def story(running: Engine, store: Paged) -> None:
        await left_behind(running, *[500] * 4)
        worker = await Peer(running, slots=4).connect()
        await first_page(store)
        worker.is_mute = True
        await asyncio.sleep(4)
        (connection,) = running.connections
        assert connection.session.waiting_bytes < 3 * PAGE
        assert len(store.pages) <= 3 + Limits().flow_bytes_min // PAGE
        worker.is_mute = False
        worker._flush(worker.pipe, worker.session)
        for _ in range(4):
            assert len(steps_of(await worker.next(Assign))) == 500

    tell(story)


def test_journals_for_one_worker_come_one_after_the_other_in_the_order_of_their_claims() -> None:
    async def story(running: Engine, store: Paged) -> None:
        runs = await left_behind(running, 100, 100, 100)
        worker = await Peer(running).connect()
        assert [(await worker.next(Assign)).run for _ in runs] == runs
        assert store.pages == sorted(store.pages, key=runs.index)

    tell(story)


def test_workers_take_turns() -> None:
    async def story(running: Engine, store: Paged) -> None:
        runs = await left_behind(running, 200, 200)
        workers = [await Peer(running, slots=1, instance=f"wrk_{n}").connect() for n in range(2)]
        for worker in workers:
            await worker.next(Assign)
        both = store.pages[store.pages.index(runs[1]) :]
        assert {both.count(run) >= 10 for run in runs} == {True}

    tell(story)


def test_beats_and_other_runs_pass_a_long_journal() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 2_000)
        worker = await Peer(running).connect()
        await first_page(store)
        other = await send(running)
        await worker.complete(other)
        assert not any(isinstance(frame, Assign) and frame.run == run for frame in worker.frames)
        assert len(steps_of(await worker.next(Assign, run))) == 2_000

    tell(story)


def test_a_run_that_is_cancelled_meanwhile_hears_of_it_behind_its_journal() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 500)
        worker = await Peer(running).connect()
        await first_page(store)
        await running.ingest.cancel(run, "by hand")
        epoch = (await worker.next(Assign, run)).epoch
        wake = await worker.next(Wake, run)
        assert [type(entry) for entry in wake.entries] == [CancelRequested]
        assert wake.epoch == epoch

    tell(story)


def test_a_worker_that_is_lost_in_the_middle_costs_nothing_but_the_beginning() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 500)
        worker = await Peer(running, instance="wrk_lost").connect()
        await first_page(store, 5)
        worker.cut()
        await worker.gone()
        assert run not in [held.run for held in worker.holdings]
        other = await Peer(running, instance="wrk_other").connect()
        assign = await other.next(Assign, run)
        assert len(steps_of(assign)) == 500
        other.report(run, assign.epoch, 1, outcome=RunCompleted(NIL))
        await other.next(Ack, run)
        assert running.assignments._unsent == {}

    tell(story)


def test_a_worker_that_comes_back_in_the_middle_gets_the_run_from_the_beginning() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 500)
        worker = await Peer(running).connect()
        await first_page(store, 5)
        worker.cut()
        await worker.gone()
        await worker.connect()
        assert len(steps_of(await worker.next(Assign, run))) == 500
        stored = await running.store.run(run)
        assert stored is not None
        assert (stored.status, stored.holder) == (Status.ASSIGNED, "wrk_a")

    tell(story)


def test_a_run_that_was_taken_away_meanwhile_is_read_no_further() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 2_000)
        worker = await Peer(running).connect()
        await first_page(store, 5)
        (connection,) = running.connections
        connection.fence(run, 9, "in a test")
        connection.flush()
        await worker.next(Fence, run)
        await asyncio.sleep(1)
        assert len(store.pages) < 20
        assert running.assignments._unsent == {}

    tell(story)


def test_nothing_is_read_for_a_worker_that_was_lost_while_it_took_nothing() -> None:
    async def story(running: Engine, store: Paged) -> None:
        await left_behind(running, 500, 500, 500)
        worker = await Peer(running, instance="wrk_mute").connect()
        await first_page(store)
        worker.is_mute = True
        await asyncio.sleep(2)
        before = len(store.pages)
        worker.cut()
        await worker.gone()
        await asyncio.sleep(0.1)
        assert (running.assignments._unsent, len(store.pages)) == ({}, before)

    tell(story)


def test_a_page_that_was_being_read_when_its_run_was_taken_away_is_not_sent() -> None:
    async def story(running: Engine, store: Paged) -> None:
        (run,) = await left_behind(running, 500)
        await Peer(running).connect()
        await first_page(store)
        (connection,) = running.connections
        connection.fence(run, 9, "in a test")
        connection.flush()
        await asyncio.sleep(1)
        assert connection.session.mirror._incomplete == {}
        assert connection.session._messages_sent < 8

    tell(story)


def test_a_disk_that_fails_under_a_page_ends_the_engine() -> None:
    async def main(_: Network) -> None:
        store = Paged()
        running = Engine(Settings(bounds=BOUNDS), store, listens=False)
        await running.start()
        await left_behind(running, 500)
        store.is_broken = True
        await Peer(running).connect()
        with pytest.raises(StoreBroken):
            await running.ended()

    simulate(main)
