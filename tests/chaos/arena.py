"""Engines with their workers and their load, in a folder of their own, while they are killed and stopped."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from onward.calls import RunStatus
from onward.client import Client
from onward.errors import EngineRefused, NotConnected
from onward_engine.settings import Settings
from onward_engine.store.port import Store
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.limits import Times

from tests.chaos.nursery import Child, start_engine, start_worker
from tests.support.cluster import Loss
from tests.support.history import Told
from tests.support.ledger import now_ms
from tests.support.postgres import PostgresServer
from tests.support.processes import free_port
from tests.support.proxy import Proxy
from tests.support.stories import GO, TOLD, Author, Go

T = TypeVar("T")

PACE = 0.04
"""Steps take up to 0.3 s: a kill meets a dozen of them."""

LISTENS_S = 20
SLOTS = 8

NEVER_MS = 1 << 60

UNFINISHED: tuple[RunStatus, ...] = ("queued", "assigned", "orphaned", "parked", "ready")


@dataclass(frozen=True, slots=True)
class Kill:
    """The end of an engine, a database or a worker, and when somebody was in its place."""

    whom: Literal["engine", "postgres", "worker"]
    name: str
    at_ms: int
    replaced_at_ms: int


@dataclass(frozen=True)
class Plan:
    """How an arena is made up. `in_flight` stories are told at a time; with `has_proxies` each worker dials through one
    of its own. Engines on PostgreSQL may be several, behind a balancer.
    """

    workers: int = 3
    preset: str = "safe"
    in_flight: int = 12
    times: Times = field(default_factory=Times)
    has_proxies: bool = False
    engines: int = 1
    is_postgres: bool = False


class Arena:
    """Everything of one round. Kill and stop as you like, then `settle`."""

    def __init__(self, home: Path, seed: int, plan: Plan) -> None:
        self.home = home
        self.plan = plan
        self.rng = random.Random(seed)
        self.ports = [free_port() for _ in range(plan.engines)]
        self.engines: dict[int, Child] = {}
        self.postgres: PostgresServer | None = None
        self.workers: list[Child] = []
        self.losses: list[Loss] = []
        self.kills: list[Kill] = []
        self.resumed: list[tuple[str, int]] = []
        self.told: list[Told] = []
        self.settings = Settings(folder=home, dev=True, times=plan.times)
        self.proxies: dict[str, Proxy] = {}
        self.balancer = Proxy(*self.ports)
        self._names = itertools.count(1)
        self._author = Author(random.Random(seed), PACE)
        self._clients: list[asyncio.Task[None]] = []
        self._is_over = False

    @property
    def url(self) -> str:
        """Where an engine is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where connections are taken: by the engine, or by the balancer before several."""
        return self.ports[0] if len(self.ports) == 1 else self.balancer.port

    async def begin(self) -> None:
        """Start everybody."""
        self.home.mkdir(parents=True)
        if self.plan.is_postgres:
            self.postgres = PostgresServer(self.home)
            await asyncio.to_thread(self.postgres.start)
            url = await self.postgres.create_database()
            self.settings = replace(self.settings, postgres=url)
        await self.balancer.start()
        for port in self.ports:
            await self.start_engine(port)
        for _ in range(self.plan.workers):
            await self.start_worker()
        self._client = Client(self.url)
        await self._workers_are_there(self.plan.workers if len(self.ports) == 1 else 1)
        self._clients = [asyncio.create_task(self._keep_telling(n)) for n in range(self.plan.in_flight)]

    # -- processes -------------------------------------------------------------------------------------------------

    async def start_engine(self, port: int) -> None:
        """Start an engine on what is in the store; returns when it listens."""
        settings = replace(self.settings, port=port)
        self.engines[port] = start_engine(f"engine-{port}", settings, self.home / "engine.log")
        async with asyncio.timeout(LISTENS_S):
            while not _is_open(port):  # noqa: ASYNC110 - a port says nothing by itself
                await asyncio.sleep(0.005)

    async def start_worker(self) -> None:
        """Start one more worker."""
        name, url = f"worker-{next(self._names)}", self.url
        if self.plan.has_proxies:
            self.proxies[name] = Proxy(self.port)
            await self.proxies[name].start()
            url = self.proxies[name].url
        self.workers.append(start_worker(name, url, self.home, self.plan.preset, SLOTS))

    async def kill_engine(self) -> None:
        """Kill an engine and start the next one at once."""
        port = self.rng.choice(self.ports)
        killed_at_ms = now_ms()
        self.engines[port].kill()
        await self.start_engine(port)
        self.kills.append(Kill("engine", f"engine-{port}", killed_at_ms, now_ms()))
        if len(self.ports) == 1:
            # A worker that never finds its engine for a whole second takes the outage for a long one, and may then stay
            # away for longer than its runs wait for it.
            await self._workers_are_there(self.plan.workers)

    async def kill_postgres(self) -> None:
        """Kill all processes of the database and start it again at once."""
        assert self.postgres is not None
        killed_at_ms = now_ms()
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.to_thread(self.postgres.start)
        self.kills.append(Kill("postgres", "postgres", killed_at_ms, now_ms()))

    async def kill_worker(self) -> None:
        """Kill a worker; another one takes its place."""
        worker = self.workers.pop(self.rng.randrange(len(self.workers)))
        self.losses.append(Loss(worker.name, now_ms(), NEVER_MS))
        self.kills.append(Kill("worker", worker.name, now_ms(), now_ms()))
        worker.kill()
        await self.start_worker()

    async def pause_worker(self, seconds: float) -> None:
        """Let a worker stand still for so long, and then go on."""
        standing = [worker for worker in self.workers if not worker.is_stopped]
        worker = self.rng.choice(standing)
        began_at_ms = now_ms()
        worker.stop()
        await asyncio.sleep(seconds)
        self.resumed.append((worker.name, now_ms()))
        worker.resume()
        self.losses.append(Loss(worker.name, began_at_ms, now_ms() + self.plan.times.dead_ms))

    async def disturb(self, disturb: Callable[[Proxy], object], seconds: float) -> None:
        """Let something happen to the line of a worker for so long."""
        worker = self.rng.choice(self.workers)
        began_at_ms = now_ms()
        disturb(self.proxies[worker.name])
        await asyncio.sleep(seconds)
        self.proxies[worker.name].heal()
        self.losses.append(Loss(worker.name, began_at_ms, now_ms() + self.plan.times.dead_ms))

    async def _workers_are_there(self, wanted: int) -> None:
        """Return when so many have come; each engine tells of its own workers only."""
        while len(await self._client.list_workers()) < wanted:  # noqa: ASYNC110 - asking is what clients do
            await asyncio.sleep(0.02)

    # -- the load --------------------------------------------------------------------------------------------------

    async def _keep_telling(self, number: int) -> None:
        while not self._is_over:
            tale = f"tale-{number}-{len(self.told)}"
            told = Told(self._author.story(tale), has_id=True)
            self.told.append(told)
            await self._tell(told)

    async def _tell(self, told: Told) -> None:
        tale = told.story.tale
        for _ in range(2 if self.rng.random() < 0.1 else 1):
            sent = await self._asked(lambda: self._client.send(TOLD(told.story, id=f"told-{tale}")))
            told.answers.append(tuple(run.id for one in sent for run in one.runs))
        await asyncio.sleep(self.rng.uniform(0, 0.3))
        await self._asked(lambda: self._client.send(GO(Go(tale), id=f"go-{tale}")))
        for run in told.answers[0]:
            await self._asked(partial(self._client.wait, run))

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except (NotConnected, EngineRefused):
                await asyncio.sleep(self.rng.uniform(0.02, 0.1))

    async def settle(self, within_s: float) -> list[str]:
        """End the load; return what is not over in time."""
        self._is_over = True
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*self._clients)
                while await self._asked(self._unfinished) or not await self._asked(self._is_quiet):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
        except TimeoutError:
            unfinished = await self._unfinished()
            return [f"not over {within_s} s after the last fault: {run}" for run in unfinished]
        finally:
            await self._client.close()
        return []

    async def _unfinished(self) -> list[str]:
        pages = [await self._client.list_runs(status=status, limit=5) for status in UNFINISHED]
        return [f"{run.id} is {run.status}" for page in pages for run in page.runs]

    async def _is_quiet(self) -> bool:
        """Look at every run once. Each status for itself misses a run that changes it meanwhile, and then ends with an
        event that starts another one: that one is newer than what was looked at.
        """
        newest, cursor = await self._newest(), None
        while True:
            page = await self._client.list_runs(limit=200, cursor=cursor)
            if any(run.status in UNFINISHED for run in page.runs):
                return False
            if page.cursor is None:
                return newest == await self._newest()
            cursor = page.cursor

    async def _newest(self) -> list[str]:
        return [run.id for run in (await self._client.list_runs(limit=1)).runs]

    async def end(self) -> None:
        """End all processes but the database's."""
        for child in (*self.workers, *self.engines.values()):
            child.kill()
        for proxy in (self.balancer, *self.proxies.values()):
            await proxy.stop()

    def store(self) -> Store:
        """Return the store, for whoever looks at it when everybody is gone."""
        if self.settings.postgres:
            from onward_engine.store.postgres import PostgresStore

            return PostgresStore(self.settings.postgres)
        return SqliteStore(self.settings.database)

    def close(self) -> None:
        """End the database too."""
        if self.postgres is not None:
            self.postgres.stop()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
