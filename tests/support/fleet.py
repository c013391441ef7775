"""Several engines on one store, behind a balancer: what happens to one of them, and to what they tell each other."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from onward_engine.engine import Engine

from tests.support import network as networks
from tests.support.bus import MemoryBus, Station
from tests.support.chaos import (
    AFTERMATH_MS,
    Chaos,
    Fault,
    black_hole,
    client_cut,
    cut,
    cut_at_a_byte,
    delay,
    disk_slow,
    half_open,
    refuse,
    stall,
    worker_joined,
    worker_killed,
    worker_left,
    worker_stopped,
    worker_vanished,
)
from tests.support.cluster import PORT, Cluster, EngineProcess, _serve
from tests.support.ledger import now_ms
from tests.support.sources import stream
from tests.support.transport import Address
from tests.support.witness import Moment, WitnessedStore

ENGINES_MAX = 3


class Fleet(Cluster):
    """A cluster whose engines share the disk. Everybody dials one address and reaches one of those that listen."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.bus = MemoryBus(stream(0, "bus"))
        self.stores: dict[EngineProcess, WitnessedStore] = {}
        self.stations: dict[EngineProcess, Station] = {}
        self._ports: dict[EngineProcess, int] = {}
        self._rng = stream(0, "balancer")
        self.network.route = self._route

    @property
    def engines(self) -> list[EngineProcess]:
        return list(self._ports)

    def start_engine(self) -> EngineProcess:
        """Start one more engine."""
        store = self.disk.mount()
        name = self._name("engine")
        port = PORT + self._numbers["engine"]
        with self.network.on_host(name) as link:
            sock, station = self.network.bind(port=port), self.bus.station()
            engine = Engine(self._settings, store, bus=station, random_bytes=os.urandom, sock=sock)
            process = EngineProcess(name, asyncio.create_task(_serve(engine)), link, engine=engine)
        self.stores[process], self.stations[process], self._ports[process] = store, station, port
        return process

    def kill(self, process: EngineProcess) -> None:
        """End an engine between two callbacks. Its connections break at once, as a dead process' do."""
        port = self._take(process)
        self._kill(process)
        if process.engine is not None and process.engine._web is not None:
            process.engine._web.close_listeners()
        self.bus.leave(self.stations[process])
        self.network.cut_server((networks.LOCALHOST, port))
        self.stores[process].is_gone = True

    async def leave(self, process: EngineProcess) -> None:
        """End an engine politely."""
        self._take(process)
        assert process.engine is not None
        self.resume(process)
        with self.network.on_host(process.name):
            stopping = asyncio.create_task(process.engine.stop())
        await asyncio.wait([stopping, process.task])
        stopping.result()

    def kill_committing(self) -> None:
        """End the engine in whose commit this is called, if it has not ended."""
        name = networks.host.get()
        for process in self.engines:
            if process.name == name:
                self.kill(process)

    def _take(self, process: EngineProcess) -> int:
        process.is_expected_to_end = True
        self._past.append(process)
        return self._ports.pop(process)

    def _route(self, where: Address) -> Address:
        if where[1] != PORT:
            return where
        listening = [port for port in self._ports.values() if self.network.listener_at((where[0], port))]
        return (where[0], self._rng.choice(listening)) if listening else where


class FleetChaos(Chaos):
    """Breaks a fleet."""

    cluster: Fleet

    def end(self) -> None:
        """Repair everything."""
        bus = self.cluster.bus
        bus.delay_ms, bus.lost_percent, bus.doubled_percent = (0, 5), 0, 0
        for process in self.cluster.engines:
            self.cluster.stores[process].reachable.set()
            self.cluster.stations[process].is_cut = False
        self.cluster.network.heal()
        while len(self.cluster.engines) < 2:
            self.cluster.start_engine()
        if not self.cluster.workers:
            self.cluster.start_worker()

    def some_engine(self) -> EngineProcess:
        """Choose an engine; start one if there is none."""
        return self.rng.choice(self.cluster.engines) if self.cluster.engines else self.cluster.start_engine()


def _of(chaos: Chaos) -> FleetChaos:
    assert isinstance(chaos, FleetChaos)
    return chaos


async def replica_killed(chaos: Chaos) -> None:
    """An engine dies between two callbacks."""
    fleet = _of(chaos)
    fleet.mark("replica killed")
    began_at_ms = now_ms()
    fleet.cluster.kill(fleet.some_engine())
    await _replace(fleet, began_at_ms)


async def replica_killed_before_commit(chaos: Chaos) -> None:
    """An engine dies with a batch that is not durable."""
    await _kill_in_commit(_of(chaos), "before")


async def replica_killed_after_commit(chaos: Chaos) -> None:
    """An engine dies with a batch that is durable, and of which nobody has heard."""
    await _kill_in_commit(_of(chaos), "after")


async def replica_left(chaos: Chaos) -> None:
    """An engine is told to stop."""
    fleet = _of(chaos)
    fleet.mark("replica left")
    began_at_ms = now_ms()
    await fleet.cluster.leave(fleet.some_engine())
    await _replace(fleet, began_at_ms)


async def replica_dozed(chaos: Chaos) -> None:
    """An engine does nothing for a while: perhaps long enough to be given up, not long enough to be silent."""
    await _still(_of(chaos), "replica dozed", ((50, 900), (2_000, 4_000), (6_000, 9_000)))


async def replica_stood_still(chaos: Chaos) -> None:
    """An engine does nothing for so long that others go on with its runs, and then goes on as if nothing had been."""
    await _still(_of(chaos), "replica stood still", ((6_000, 9_000), (13_000, 20_000), (20_000, 30_000)))


async def replica_isolated(chaos: Chaos) -> None:
    """An engine cannot reach the store for a while; its workers can reach it."""
    fleet = _of(chaos)
    process, began_at_ms = fleet.some_engine(), now_ms()
    fleet.mark("replica isolated")
    fleet.cluster.stores[process].reachable.clear()
    await fleet.pause(*fleet.rng.choice(((500, 3_000), (5_000, 9_000), (12_000, 40_000))))
    fleet.cluster.stores[process].reachable.set()
    fleet.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


async def replica_joined(chaos: Chaos) -> None:
    """One more engine comes."""
    fleet = _of(chaos)
    if len(fleet.cluster.engines) < ENGINES_MAX:
        fleet.mark("replica joined")
        fleet.cluster.start_engine()


async def bus_poor(chaos: Chaos) -> None:
    """What engines tell each other comes late, twice or never."""
    fleet = _of(chaos)
    bus = fleet.cluster.bus
    fleet.mark("bus poor")
    bus.delay_ms = (0, fleet.rng.choice((10, 300, 3_000)))
    bus.lost_percent, bus.doubled_percent = fleet.rng.choice((0, 30, 100)), fleet.rng.choice((0, 50))
    await fleet.pause(500, 8_000)
    bus.delay_ms, bus.lost_percent, bus.doubled_percent = (0, 5), 0, 0


async def replica_deaf(chaos: Chaos) -> None:
    """An engine hears nothing of what others tell, and is not heard."""
    fleet = _of(chaos)
    station = fleet.cluster.stations[fleet.some_engine()]
    fleet.mark("replica deaf")
    station.is_cut = True
    await fleet.pause(500, 8_000)
    station.is_cut = False


async def _still(chaos: FleetChaos, name: str, pauses: tuple[tuple[int, int], ...]) -> None:
    process, began_at_ms = chaos.some_engine(), now_ms()
    chaos.mark(name)
    chaos.cluster.stop(process)
    await chaos.pause(*chaos.rng.choice(pauses))
    chaos.cluster.resume(process)
    chaos.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


async def _kill_in_commit(chaos: FleetChaos, moment: Moment) -> None:
    cluster, began_at_ms = chaos.cluster, now_ms()
    if cluster.disk.has_crash:
        return
    killed = asyncio.Event()

    def kill() -> None:
        killed.set()
        chaos.mark(f"replica killed {moment} commit")
        cluster.kill_committing()

    cluster.disk.crash_at(chaos.rng.randint(1, 6), moment, kill)
    try:
        async with asyncio.timeout(8):
            await killed.wait()
    except TimeoutError:
        cluster.disk.forget_crash()
        return
    await _replace(chaos, began_at_ms)


async def _replace(chaos: FleetChaos, began_at_ms: int) -> None:
    await chaos.pause(*chaos.rng.choice(((1, 100), (100, 1_500), (1_500, 10_000))))
    if len(chaos.cluster.engines) < 2:
        chaos.cluster.start_engine()
    chaos.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


GENTLE_WITH_REPLICAS: tuple[Fault, ...] = (
    cut,
    half_open,
    client_cut,
    replica_killed,
    replica_killed_before_commit,
    replica_killed_after_commit,
    replica_left,
    replica_dozed,
    replica_joined,
    bus_poor,
    replica_deaf,
)
"""After these everybody is back before anybody else may take a run: nothing is repeated."""

WILD_WITH_REPLICAS: tuple[Fault, ...] = (
    *GENTLE_WITH_REPLICAS,
    cut_at_a_byte,
    black_hole,
    stall,
    refuse,
    delay,
    worker_killed,
    worker_vanished,
    worker_left,
    worker_stopped,
    worker_joined,
    replica_stood_still,
    replica_stood_still,
    replica_isolated,
    replica_isolated,
    disk_slow,
)
"""These together, several at once."""
