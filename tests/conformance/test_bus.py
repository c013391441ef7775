"""The buses between engines, and two engines on one database that hear each other by them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import asyncpg
import pytest
from onward_engine.bus import MESSAGE_BYTES_MAX, Bus
from onward_engine.engine import Engine
from onward_engine.settings import Settings
from onward_engine.store.postgres import PostgresBus
from onward_protocol.messages import Assign, EventWait, WaitOpened, Wake

from tests.support.bus import MemoryBus
from tests.unit.engine.peer import Peer, send
from tests.unit.engine.test_sharing import tell

PATIENCE_S = 30


class Ear:
    """Hears what a bus brings."""

    def __init__(self, bus: Bus) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        bus.listen(self.heard.put_nowait)

    async def next(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()


@pytest.fixture(params=["memory", "postgres"])
def new_bus(request: pytest.FixtureRequest) -> Callable[[], Bus]:
    if request.param == "memory":
        return MemoryBus().station
    url = request.getfixturevalue("postgres_url")
    return lambda: PostgresBus(url)


@pytest.fixture
async def buses(new_bus: Callable[[], Bus]) -> AsyncIterator[tuple[Bus, Bus]]:
    async with carrying(new_bus()) as one, carrying(new_bus()) as other:
        yield one, other


@contextlib.asynccontextmanager
async def carrying(bus: Bus) -> AsyncGenerator[Bus]:
    """A bus that has been heard by itself: from then on it carries."""
    ear = Ear(bus)
    async with asyncio.TaskGroup() as group:
        await bus.start(group)
        while ear.heard.empty():
            bus.publish(b"is anybody there?")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ear.heard.put(await ear.heard.get())
        yield bus
        await bus.stop()


async def heard(ear: Ear, message: bytes) -> None:
    while await ear.next() != message:
        pass


async def test_what_one_engine_says_all_hear(buses: tuple[Bus, Bus]) -> None:
    ears = [Ear(bus) for bus in buses]
    largest = b"x" * MESSAGE_BYTES_MAX
    buses[0].publish('"said ümlaut'.encode())
    buses[0].publish(largest)
    for ear in ears:
        await heard(ear, '"said ümlaut'.encode())
        await heard(ear, largest)


async def test_what_was_said_before_the_end_is_still_heard(new_bus: Callable[[], Bus]) -> None:
    async with carrying(new_bus()) as stays:
        ear = Ear(stays)
        async with carrying(new_bus()) as leaves:
            leaves.publish(b"goodbye")
        await heard(ear, b"goodbye")


async def test_a_bus_whose_connection_breaks_carries_again(postgres_url: str) -> None:
    async with carrying(PostgresBus(postgres_url)) as bus:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        ear = Ear(bus)
        async with asyncio.timeout(PATIENCE_S):
            while ear.heard.empty():
                bus.publish(b"again")
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def two_engines(url: str) -> AsyncGenerator[tuple[Engine, Engine]]:
    settings = Settings(retention_ms=0, postgres=url)
    async with Engine(settings, listens=False) as here, Engine(settings, listens=False) as there:
        assert here.sharing is not None
        while not here.sharing.has_company:  # noqa: ASYNC110 - it sees the other one with its next beat
            await asyncio.sleep(0.05)
        yield here, there


async def test_two_engines_on_one_database_find_each_others_workers(postgres_url: str) -> None:
    async with asyncio.timeout(30), two_engines(postgres_url) as (here, there):
        worker = await Peer(there).connect()
        run = await send(here)
        epoch = (await worker.next(Assign, run)).epoch
        worker.report(run, epoch, 1, WaitOpened("go", EventWait("go", after=0)))
        await tell(here)
        assert len((await worker.next(Wake, run)).entries) == 1


async def test_a_worker_moves_between_engines_on_one_database(postgres_url: str) -> None:
    async with asyncio.timeout(30), two_engines(postgres_url) as (here, there):
        worker = await Peer(here).connect()
        run = await send(here)
        await worker.next(Assign, run)
        worker.engine = there
        await worker.connect()
        assert worker.session.generation == 2
        while len(here.connections):  # noqa: ASYNC110 - the news are on their way
            await asyncio.sleep(0.05)
