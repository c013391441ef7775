"""A worker at the far end of a poor line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from onward import App, Context, step
from onward.client import Client
from onward.worker import Worker
from onward_engine.engine import Engine
from onward_engine.settings import Settings

from tests.support.processes import System, free_port, ledger_of, repeated, wait_for
from tests.support.slow import SlowRoad
from tests.system.apps.large import STEPS

STEP_BYTES = 20_000


def test_a_poor_line_is_slow_but_its_worker_stays_and_each_step_runs_once(tmp_path: Path) -> None:
    """0.4 s there and back, 10 kB/s: 160 kB of results take longer than the silence after which a peer is given up."""
    with System(tmp_path) as system:
        system.engine()
        with SlowRoad(system.port, latency_s=0.2, bytes_s=10_000) as road:
            worker = system.command("run", "tests.system.apps.large:functions", "--url", road.url, log="worker")
            wait_for(lambda: len(system.client.list_workers()) == 1, "the worker is connected")
            run = system.client.start("large/filled", STEP_BYTES)
            assert run.result(timeout="50s") == STEP_BYTES * STEPS
            assert repeated(ledger_of(tmp_path)) == []
            assert (road.connections, worker.poll()) == (1, None)
            worker.terminate()
            assert worker.wait(15) == 0


SCALE = 10
"""All times of the protocol are so much shorter, and the lines as much faster."""

app = App("poor")
executed: list[int] = []


@step
async def fill(size: int) -> bytes:
    executed.append(size)
    return bytes(size)


@app.function(int)
async def fetch(ctx: Context[int]) -> int:
    return len(await fill(ctx.data))


@pytest.mark.parametrize(("bytes_s", "size"), [(10_000, 1 << 20), (2_000, 1 << 18)])
def test_a_large_result_over_a_poor_line_needs_one_connection(bytes_s: int, size: int, tmp_path: Path) -> None:
    """It takes seven times as long as a silence that is given up; beats go between its parts, through real buffers."""
    settings = Settings(dev=True, port=free_port(), folder=tmp_path).scaled(1 / SCALE)
    executed.clear()
    with SlowRoad(settings.port, latency_s=0.02, bytes_s=bytes_s * SCALE) as road:
        assert asyncio.run(fetched(settings, road.url, size)) == size
        assert (road.connections, executed) == (1, [size])


async def fetched(settings: Settings, url: str, size: int) -> int:
    async with Engine(settings) as engine, Client(engine.url) as client, Worker(app, url=url):
        while not await client.list_workers():  # noqa: ASYNC110 - asking is what clients do
            await asyncio.sleep(0.01)
        result: int = await (await client.start("poor/fetch", size)).result(timeout="50s")
        return result
