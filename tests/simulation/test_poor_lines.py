"""Large results and large journals over lines of a few kilobytes a second: nobody loses patience or starts over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from onward import App, Context, step
from onward.client import Client
from onward.connection.dialer import Dialer
from onward.connection.link import Link
from onward.worker import Worker
from onward_engine.engine import Engine
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore

from tests.support import Network, simulate
from tests.support.stage import until
from tests.support.transport import has_ended

PORT = 8484
URL = f"http://127.0.0.1:{PORT}"
KIB = 1024

app = App("poor")
executed: list[str] = []
gates: list[asyncio.Event] = []  # one of each test's own loop


@step
async def fill(size: int) -> str:
    executed.append(f"fill {size}")
    return "x" * size


@step
async def describe(size: int) -> str:
    """Return what compresses as real data does."""
    words = random.Random(1).choices(["order", "customer", "price", "{", "}"], k=size)
    return " ".join(words)[:size]


@app.function(int)
async def report(ctx: Context[int]) -> int:
    return len(await describe(ctx.data))


@step
async def finish() -> None:
    executed.append("finish")
    await gates[-1].wait()


@app.function(int)
async def fetch(ctx: Context[int]) -> int:
    """One large result, then a step that tests can hold."""
    text = await fill(ctx.data)
    await finish()
    return len(text)


@app.function(int)
async def collect(ctx: Context[int]) -> int:
    """So many steps of 2 KiB, then one that tests can hold."""
    size = sum([len(await fill(2 * KIB)) for _ in range(ctx.data)])
    await finish()
    return size


@app.function(int)
async def tick(ctx: Context[int]) -> None:
    """Small steps that need a lease each."""
    for _ in range(ctx.data):
        await ctx.sleep("1s")
        await asyncio.sleep(1)
        await fill(1)


@dataclass
class Site:
    """An engine, and workers that reach it over lines of their own."""

    network: Network
    engine: Engine
    client: Client
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    dialled: list[str] = field(default_factory=list[str])
    living: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    without_lease_ms: int = 0
    most_waiting: int = 0

    async def join(self, name: str, bytes_s: int | None) -> Worker:
        with self.network.on_host(name) as link:
            link.latency_ms = (200, 200) if bytes_s else (1, 1)
            dial = Dialer(URL, lambda: "", open_socket=self.network.dial, has_ended=has_ended)

            async def counted() -> Link:
                self.dialled.append(name)
                return await dial()

            worker = self.workers[name] = Worker(app, url=URL, concurrency=4, dial=counted)
            living = asyncio.create_task(worker.run())
        self.living.append(living)
        await until(lambda: worker.state == "connected")
        link.bytes_s = bytes_s
        return worker

    async def watch(self) -> None:
        """Count the time in which a worker might start no step, and what the engine keeps for its workers."""
        while True:
            await asyncio.sleep(0.1)
            for connection in self.engine.connections:
                self.most_waiting = max(self.most_waiting, connection.session.waiting_bytes)
            for worker in self.workers.values():
                if worker.state == "connected" and worker._daemon is not None:
                    self.without_lease_ms += 0 if worker._daemon._conversation.may_start() else 100


def tell(story: Callable[[Site], Awaitable[None]]) -> Site:
    async def main(network: Network) -> Site:
        executed.clear()
        gates.append(asyncio.Event())
        settings = Settings(dev=True, port=PORT)
        engine = Engine(settings, MemoryStore(), sock=network.bind(port=PORT))
        async with engine, Client(URL) as client:
            site = Site(network, engine, client)
            watching = asyncio.create_task(site.watch())
            await story(site)
            watching.cancel()
            for worker in site.workers.values():
                worker.stop()
            return site

    return simulate(main)


@pytest.mark.parametrize("bytes_s", [2_000, 10_000, 100_000])
def test_a_large_result_goes_up_over_one_connection_and_its_worker_keeps_its_lease(bytes_s: int) -> None:
    async def story(site: Site) -> None:
        gates[-1].set()
        await site.join("wrk", bytes_s)
        run = await site.client.start("poor/fetch", 1024 * KIB)
        assert await run.result(timeout="20m") == 1024 * KIB

    site = tell(story)
    assert (site.dialled, executed) == (["wrk"], [f"fill {1024 * KIB}", "finish"])
    assert site.without_lease_ms == 0


@pytest.mark.parametrize("bytes_s", [2_000, 10_000, 100_000])
def test_a_large_journal_goes_down_over_one_connection_and_nothing_is_repeated(bytes_s: int) -> None:
    async def story(site: Site) -> None:
        first = await site.join("near", None)
        run = await site.client.start("poor/fetch", 1024 * KIB)
        await until(lambda: len(executed) == 2)
        await site.join("far", bytes_s)
        first.stop(drain=False)
        await first.gone()
        gates[-1].set()
        assert await run.result(timeout="20m") == 1024 * KIB

    site = tell(story)
    assert (site.dialled, executed) == (["near", "far"], [f"fill {1024 * KIB}", "finish", "finish"])
    assert site.without_lease_ms == 0


def test_a_long_journal_is_read_as_its_worker_takes_it() -> None:
    """One of 1.6 MiB, over a line that takes three minutes for it."""

    async def story(site: Site) -> None:
        first = await site.join("near", None)
        run = await site.client.start("poor/collect", 800)
        await until(lambda: executed[-1:] == ["finish"])
        await site.join("far", 10_000)
        first.stop(drain=False)
        await first.gone()
        gates[-1].set()
        assert await run.result(timeout="20m") == 1600 * KIB

    site = tell(story)
    assert (site.dialled, len(executed)) == (["near", "far"], 800 + 2)
    assert site.without_lease_ms == 0
    assert site.most_waiting < 300 * KIB


def test_while_a_large_result_goes_up_the_steps_of_other_runs_go_on() -> None:
    async def story(site: Site) -> None:
        gates[-1].set()
        await site.join("wrk", 10_000)
        large = await site.client.start("poor/fetch", 1024 * KIB)
        await until(lambda: len(executed) == 1)
        small = await site.client.start("poor/tick", 3)
        await small.result(timeout="1m")
        assert (await site.client.get_run(large.id)).status == "assigned"
        await large.result(timeout="20m")

    tell(story)


@pytest.mark.parametrize(("setting", "seconds"), [("off", (100, 130)), ("zstd", (0, 30))])
def test_compression_makes_a_poor_line_better(
    setting: str, seconds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(site: Site) -> None:
        await site.join("wrk", 10_000)
        run = await site.client.start("poor/report", 1024 * KIB)
        began_s = asyncio.get_running_loop().time()
        (connection,) = site.engine.connections
        assert connection.session.hello is not None
        assert connection.session.hello.unpacks == (("zstd",) if setting == "zstd" else ())
        assert await run.result(timeout="20m") == 1024 * KIB
        took_s = asyncio.get_running_loop().time() - began_s
        assert seconds[0] < took_s < seconds[1]

    monkeypatch.setenv("ONWARD_COMPRESSION", setting)
    tell(story)
