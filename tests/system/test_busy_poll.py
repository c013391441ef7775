"""A worker and an engine that stay awake for each other, on either event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from onward import App, Client, Context, Worker, step
from onward_engine import Engine, Settings

app = App("awake")
STEPS = 40


@step
async def number(n: int) -> int:
    return n


@app.function(int)
async def numbers(ctx: Context[int]) -> list[int]:
    return [await number(n) for n in range(ctx.data)]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_lone_run_goes_through(new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    settings = Settings(dev=True, port=0, folder=tmp_path, busy_poll=True)

    async def main() -> list[int]:
        async with Engine(settings) as engine, Client(engine.url) as client:
            registered = asyncio.Event()
            engine.committer.listen(lambda notices: registered.set() if notices.registered else None)
            async with Worker(app, url=engine.url, busy_poll=True):
                await registered.wait()
                return await client.run(numbers, STEPS, timeout="20s")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == list(range(STEPS))
