"""Several engines on one store: a worker of one, an event at another, and what both make of each other's silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest
from onward_engine.bus import Bus, NullBus
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.model import Status
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Committed, Op
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Arrived,
    Assign,
    EventWait,
    Fence,
    FunctionManifest,
    GoAway,
    Parked,
    RunCompleted,
    StepDone,
    WaitOpened,
    Wake,
)

from tests.support import Network
from tests.support import simulate as simulate_for_ever
from tests.support.bus import MemoryBus
from tests.support.hosts import Hosts
from tests.unit.engine.peer import NIL, Peer, send

SETTINGS = Settings(retention_ms=0)
SWEEP_MS = SETTINGS.sharing.sweep_ms
DEAD_MS = SETTINGS.sharing.dead_ms
ADOPTION_MS = SETTINGS.times.adoption_ms


class Office:
    """Two engines on one store."""

    def __init__(self, *, is_told: bool = True) -> None:
        self.store = MemoryStore(is_shared=True)
        self.bus = MemoryBus()
        self.is_told = is_told

    @contextlib.asynccontextmanager
    async def engine(self) -> AsyncGenerator[Engine]:
        bus: Bus = self.bus.station() if self.is_told else NullBus()
        async with Engine(SETTINGS, self.store, bus=bus, listens=False) as running:
            yield running

    @contextlib.asynccontextmanager
    async def both(self) -> AsyncGenerator[tuple[Engine, Engine]]:
        async with self.engine() as here, self.engine() as there:
            await asyncio.sleep(1.5)  # by then they know of each other
            yield here, there


def simulate(main: Callable[[Network], Awaitable[None]]) -> None:
    """Simulate it for five minutes at most: engines on one store never run out of things to do."""

    async def bounded(network: Network) -> None:
        async with asyncio.timeout(300):
            await main(network)

    simulate_for_ever(bounded)


def play(scene: Callable[[Engine, Engine, Office], Awaitable[None]], *, is_told: bool = True) -> None:
    async def main(_: Network) -> None:
        office = Office(is_told=is_told)
        async with office.both() as (here, there):
            await scene(here, there, office)

    simulate(main)


def now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000 + 1e-4)


async def waiting(engine: Engine, worker: Peer, *, parked: bool) -> str:
    """Let a run wait for the event `go`."""
    run = await send(engine)
    epoch = (await worker.next(Assign, run)).epoch
    worker.report(run, epoch, 1, WaitOpened("go", EventWait("go")), outcome=Parked() if parked else None)
    await worker.next(Ack, run)
    return run


async def tell(engine: Engine) -> None:
    await engine.ingest.accept([Incoming(name="go")])


# -- news --------------------------------------------------------------------------------------------------------------


def test_an_event_at_one_engine_starts_a_run_at_a_worker_of_another_at_once() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        await asyncio.sleep(0.1)
        at_ms = now_ms()
        await worker.next(Assign, await send(here))
        assert now_ms() - at_ms < 20

    play(scene)


@pytest.mark.parametrize("parked", [False, True])
def test_an_event_at_one_engine_wakes_a_run_at_a_worker_of_another_at_once(parked: bool) -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await waiting(there, worker, parked=parked)
        at_ms = now_ms()
        await tell(here)
        wake = await worker.next(Wake, run)
        assert (len(wake.entries), wake.slot) == (1, parked)
        assert now_ms() - at_ms < 20

    play(scene)


def test_whoever_waits_at_one_engine_hears_of_the_end_at_another() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await send(there)
        asking = asyncio.create_task(here.endings.wait(run))
        await worker.complete(run)
        at_ms = now_ms()
        ended = await asking
        assert ended is not None
        assert ended.status is Status.COMPLETED
        assert now_ms() - at_ms < 20

    play(scene)


def test_a_run_that_is_cancelled_at_one_engine_stops_at_the_worker_of_another() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await send(there)
        await worker.next(Assign, run)
        at_ms = now_ms()
        await here.ingest.cancel(run, cleanup_ms=0)
        await worker.next(Fence, run)
        assert now_ms() - at_ms < 20

    play(scene)


def test_an_app_that_is_registered_at_one_engine_is_known_at_the_others() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        other = AppManifest("other", functions=(FunctionManifest("other/work"),))
        await Peer(there, apps=(other,)).connect()
        await asyncio.sleep(0.01)
        assert "other/work" in here.catalogue

    play(scene)


def test_a_function_that_another_engine_has_just_registered_can_be_started() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        await Peer(there).connect()
        assert "shop/order" not in here.catalogue
        assert await here.ingest.start("shop/order", NIL)

    play(scene, is_told=False)


def test_an_engine_that_is_alone_tells_nobody_anything() -> None:
    async def main(_: Network) -> None:
        office = Office()
        async with office.engine() as only:
            worker = await Peer(only).connect()
            await asyncio.sleep(2)
            before = office.bus.published
            await worker.complete(await send(only))
            assert office.bus.published == before

    simulate(main)


def test_a_message_that_nobody_understands_is_left_alone() -> None:
    async def scene(here: Engine, there: Engine, office: Office) -> None:
        station = office.bus.station()
        for message in (b"", b"[]", b'["x",[["unheard",1]]]', b'["x",[["ready","run",1,"wrk_a",1]]]'):
            station.publish(message)
        await asyncio.sleep(0.1)
        worker = await Peer(there).connect()
        assert (await worker.complete(await send(here))).seq == 1

    play(scene)


# -- what nobody has told ----------------------------------------------------------------------------------------------


def test_a_run_that_nobody_has_told_of_is_started_by_the_next_sweep() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        await asyncio.sleep(0.1)
        at_ms = now_ms()
        await worker.next(Assign, await send(here))
        assert now_ms() - at_ms <= SWEEP_MS + 20

    play(scene, is_told=False)


@pytest.mark.parametrize("parked", [False, True])
def test_a_wake_up_that_nobody_has_told_of_is_found_by_the_next_sweep(parked: bool) -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await waiting(there, worker, parked=parked)
        at_ms = now_ms()
        await tell(here)
        kind = Assign if parked else Wake  # what is parked anybody may take by then, also its holder
        await worker.next(kind, run)
        assert now_ms() - at_ms <= SWEEP_MS + 20

    play(scene, is_told=False)


def test_an_end_that_nobody_has_told_of_is_found_by_the_next_sweep() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await send(there)
        asking = asyncio.create_task(here.endings.wait(run))
        await worker.complete(run)
        at_ms = now_ms()
        await asking
        assert now_ms() - at_ms <= SWEEP_MS + 20

    play(scene, is_told=False)


def test_a_run_that_another_worker_has_is_stopped_by_the_next_sweep() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(there).connect()
        run = await send(there)
        await worker.next(Assign, run)
        at_ms = now_ms()
        await here.ingest.cancel(run, cleanup_ms=0)
        await worker.next(Fence, run)
        assert now_ms() - at_ms <= SWEEP_MS + 20

    play(scene, is_told=False)


# -- workers that move -------------------------------------------------------------------------------------------------


def test_a_worker_that_moves_to_another_engine_goes_on_at_the_same_epoch_at_once() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(here).connect()
        run = await send(here)
        epoch = (await worker.next(Assign, run)).epoch
        worker.engine = there
        await worker.connect()
        ack = await worker.next(Ack, run)
        assert (ack.epoch, ack.resend) == (epoch, True)
        worker.report(run, epoch, 1, StepDone("work", NIL), outcome=RunCompleted(NIL))
        assert (await worker.next(Ack, run)).seq == 1

    play(scene)


def test_a_worker_that_has_moved_is_disconnected_where_it_was() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(here).connect()
        worker.engine = there
        await worker.connect()
        await asyncio.sleep(0.1)
        assert (len(here.connections), len(there.connections)) == (0, 1)

    play(scene)


def test_an_engine_that_has_not_heard_that_its_worker_has_moved_gives_it_nothing() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        worker = await Peer(here).connect()
        await asyncio.sleep(0.1)
        worker.engine = there
        await worker.connect()
        run = await send(here)
        assert (await worker.next(Assign, run)).epoch == 1
        assert (len(here.connections), len(there.connections)) == (0, 1)

    play(scene, is_told=False)


def test_the_late_end_of_a_connection_takes_nothing_from_a_worker_that_has_moved() -> None:
    async def scene(here: Engine, there: Engine, office: Office) -> None:
        worker = await Peer(here).connect()
        run = await send(here)
        await worker.next(Assign, run)
        older = worker.pipe
        worker.engine = there
        await worker.connect()
        older.abort()
        await asyncio.sleep(3)
        found = await office.store.run(run)
        assert found is not None
        assert (found.status, found.epoch) == (Status.ASSIGNED, 1)

    play(scene, is_told=False)


# -- engines that stop -------------------------------------------------------------------------------------------------


def test_an_engine_that_stops_sends_its_workers_on_and_leaves_nothing_behind() -> None:
    async def main(_: Network) -> None:
        office = Office()
        async with office.engine() as stays:
            async with office.engine() as leaves:
                await asyncio.sleep(1.5)
                worker = await Peer(leaves).connect()
                run = await send(leaves)
                await worker.next(Assign, run)
                stopping = asyncio.create_task(leaves.stop())
                await worker.next(GoAway)
                worker.engine = stays
                await worker.connect()
                assert (await worker.next(Ack, run)).epoch == 1
                at_ms = now_ms()
                await stopping
                assert now_ms() - at_ms < 100
            assert [one.id for one in office.store._tables.replicas()] == [stays.ids.replica]
            found = await office.store.run(run)
            assert found is not None
            assert found.status is Status.ASSIGNED

    simulate(main)


def test_what_a_worker_leaves_at_an_engine_that_stops_goes_to_another_after_the_adoption_window() -> None:
    async def main(_: Network) -> None:
        office = Office()
        async with office.engine() as stays:
            async with office.engine() as leaves:
                await asyncio.sleep(1.5)
                worker = await Peer(leaves).connect()
                run = await send(leaves)
                await worker.next(Assign, run)
            at_ms = now_ms()
            other = await Peer(stays, instance="wrk_other").connect()
            assert (await other.next(Assign, run)).epoch == 2
            assert ADOPTION_MS - 50 <= now_ms() - at_ms <= ADOPTION_MS + 50

    simulate(main)


# -- engines that die or stand still -----------------------------------------------------------------------------------


class Dying:
    """An office in which one of two engines runs on a host that can be stopped."""

    def __init__(self, network: Network) -> None:
        self.office = Office()
        self.network = network
        self.hosts = Hosts(asyncio.get_running_loop())  # type: ignore[arg-type]
        self.engines: list[Engine] = []

    async def start(self, name: str) -> Engine:
        with self.network.on_host(name):
            engine = Engine(SETTINGS, self.office.store, bus=self.office.bus.station(), listens=False)
            await asyncio.create_task(engine.start())
        self.engines.append(engine)
        return engine

    async def end(self) -> None:
        self.hosts.bury()
        for engine in self.engines:
            await engine.stop()


def test_when_an_engine_and_its_worker_die_together_another_goes_on_within_sixteen_seconds() -> None:
    async def main(network: Network) -> None:
        stage = Dying(network)
        dies, lives = await stage.start("dies"), await stage.start("lives")
        await asyncio.sleep(3)
        worker = await Peer(dies).connect()
        run = await send(dies)
        await worker.next(Assign, run)
        stage.hosts.stop("dies")
        at_ms = now_ms()
        other = await Peer(lives, instance="wrk_other").connect()
        assert (await other.next(Assign, run)).epoch == 2
        assert SETTINGS.times.lease_ms <= now_ms() - at_ms <= 16_000
        await stage.end()

    simulate(main)


def test_an_engine_that_stood_still_for_long_is_given_up_and_then_sends_its_workers_on() -> None:
    async def main(network: Network) -> None:
        stage = Dying(network)
        sleeps, _ = await stage.start("sleeps"), await stage.start("lives")
        await asyncio.sleep(3)
        worker = await Peer(sleeps).connect()
        run = await send(sleeps)
        await worker.next(Assign, run)
        stage.hosts.stop("sleeps")
        await asyncio.sleep(DEAD_MS / 1000 + 2)
        found = await stage.office.store.run(run)
        assert found is not None
        assert found.status is Status.ORPHANED
        stage.hosts.resume("sleeps")
        await worker.next(GoAway)
        await worker.connect()
        assert (await worker.next(Ack, run)).epoch == 1
        await stage.end()

    simulate(main)


def test_an_engine_that_was_given_up_assigns_nothing_before_its_workers_have_come_back() -> None:
    async def main(network: Network) -> None:
        stage = Dying(network)
        sleeps, lives = await stage.start("sleeps"), await stage.start("lives")
        await asyncio.sleep(3)
        worker = await Peer(sleeps).connect()
        await asyncio.sleep(0.1)
        stage.hosts.stop("sleeps")
        await asyncio.sleep(DEAD_MS / 1000 + 2)
        run = await send(lives)
        await asyncio.sleep(0.1)
        stage.hosts.resume("sleeps")
        await worker.next(GoAway)
        assert [frame for frame in worker.frames if isinstance(frame, Assign)] == []
        await worker.connect()
        assert (await worker.next(Assign, run)).epoch == 1
        await stage.end()

    simulate(main)


class Slow(MemoryStore):
    """A store that hangs for one of its engines."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(is_shared=True)
        self._tables = store._tables
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        await self.gate.wait()
        return await super().apply(ops)


@pytest.mark.parametrize("is_event_first", [False, True])
def test_an_event_and_a_wait_that_meet_at_two_engines_find_each_other(is_event_first: bool) -> None:
    async def main(_: Network) -> None:
        office = Office()
        events, frames = Slow(office.store), Slow(office.store)
        async with (
            Engine(SETTINGS, events, bus=NullBus(), listens=False) as here,
            Engine(SETTINGS, frames, bus=NullBus(), listens=False) as there,
        ):
            worker = await Peer(there).connect()
            run = await send(there)
            epoch = (await worker.next(Assign, run)).epoch
            await asyncio.sleep(0.1)
            events.gate.clear()
            frames.gate.clear()
            telling = asyncio.create_task(tell(here))
            worker.report(run, epoch, 1, WaitOpened("go", EventWait("go", after=0)), outcome=Parked())
            await asyncio.sleep(0.1)
            for store in (events, frames) if is_event_first else (frames, events):
                store.gate.set()
                await asyncio.sleep(0)
            await telling
            if is_event_first:  # the run has not parked
                entries = (await worker.next(Wake, run)).entries
            else:  # nobody has told its holder, so that anybody may take it by now
                entries = (await worker.next(Assign, run)).entries
            assert [type(entry) for entry in entries] == [Arrived]

    simulate(main)


def test_an_engine_that_cannot_write_its_row_assigns_nothing_until_it_can() -> None:
    async def main(_: Network) -> None:
        office = Office()
        slow = Slow(office.store)
        async with Engine(SETTINGS, slow, listens=False) as here:
            worker = await Peer(here).connect()
            await asyncio.sleep(0.1)
            slow.gate.clear()
            begun = asyncio.create_task(send(here))
            await asyncio.sleep(DEAD_MS * 0.7 / 1000 + 1)
            assert not here.dispatch.may_assign()
            slow.gate.set()
            await worker.next(Assign, await begun)
            assert here.dispatch.may_assign()

    simulate(main)


def test_an_engine_that_cannot_reach_its_store_sends_its_workers_on() -> None:
    async def main(_: Network) -> None:
        slow = Slow(Office().store)
        async with Engine(SETTINGS, slow, listens=False) as here:
            worker = await Peer(here).connect()
            await asyncio.sleep(0.1)
            slow.gate.clear()
            at_ms = now_ms()
            await worker.next(GoAway)
            assert 29_000 <= now_ms() - at_ms <= 30_000
            slow.gate.set()

    simulate(main)


def test_a_worker_has_no_lease_any_more_when_others_may_give_its_runs_away() -> None:
    async def main(_: Network) -> None:
        office = Office()
        slow = Slow(office.store)
        async with (
            Engine(SETTINGS, slow, listens=False) as here,
            Engine(SETTINGS, office.store, listens=False) as there,
        ):
            await asyncio.sleep(3)
            worker = await Peer(here, slots=9).connect()
            run = await send(here)
            await worker.next(Assign, run)
            await asyncio.sleep(1)
            slow.gate.clear()
            other = await Peer(there, instance="wrk_other").connect()
            taking = asyncio.create_task(other.next(Assign, run))
            while worker.session.may_start(worker.now_ms):  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.01)
            assert not taking.done()
            assert (await taking).epoch == 2
            assert worker.pipe.close_code is None  # it stays, because the store may stall for everybody
            slow.gate.set()
            await worker.gone()

    simulate(main)


def test_a_stall_of_the_store_makes_nobody_take_anybody_for_dead() -> None:
    async def main(_: Network) -> None:
        office = Office()
        stores = [Slow(office.store) for _ in range(2)]
        async with (
            Engine(SETTINGS, stores[0], listens=False) as here,
            Engine(SETTINGS, stores[1], listens=False) as there,
        ):
            await asyncio.sleep(3)
            runs: list[str] = []
            for number, engine in enumerate((here, there)):
                worker = await Peer(engine, instance=f"wrk_{number}", slots=1).connect()
                runs.append(await send(engine))
                await worker.next(Assign, runs[-1])
            for store in stores:
                store.gate.clear()
            await asyncio.sleep(20)
            stores[0].gate.set()
            await asyncio.sleep(0.5)
            stores[1].gate.set()
            await asyncio.sleep(5)
            found = [await office.store.run(run) for run in runs]
            assert [(run.status, run.epoch) for run in found if run] == [(Status.ASSIGNED, 1)] * 2

    simulate(main)


def test_who_comes_back_first_from_a_common_stall_waits_for_the_others() -> None:
    """Everybody's row is old then. Whoever judged at once would give up all the others."""

    async def main(network: Network) -> None:
        stage = Dying(network)
        names = ("one", "other")
        engines = [await stage.start(name) for name in names]
        await asyncio.sleep(3)
        worker = await Peer(engines[1]).connect()
        run = await send(engines[1])
        await worker.next(Assign, run)
        for name in names:
            stage.hosts.stop(name)
        await asyncio.sleep(DEAD_MS / 1000 + 7)
        stage.hosts.resume("one")
        await asyncio.sleep(0.9)
        stage.hosts.resume("other")
        await asyncio.sleep(3)
        found = await stage.office.store.run(run)
        assert found is not None
        assert (found.status, found.generation) == (Status.ASSIGNED, 1)
        await stage.end()

    simulate(main)
