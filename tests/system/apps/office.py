"""Functions for tests with real processes. Step bodies append to the ledger of the test, not to the engine's books."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from onward import App, Context, EventType, SyncContext, step

from tests.support.processes import note

Go = EventType("test/go", dict[str, str])


@asynccontextmanager
async def pool(app: App) -> AsyncGenerator[str]:
    note("open")
    yield "the pool"
    note("close")


functions = App("test", lifespan=pool)


@step
async def work(name: str, seconds: float = 0) -> str:
    note("begin", name)
    await asyncio.sleep(seconds)
    note("end", name)
    return name


@step
def wait_for_file(name: str) -> str:
    """Blocks a thread until the test lets it go."""
    note("begin", name)
    gate = Path(os.environ["HOME_OF_TEST"], name)
    while not gate.exists():
        time.sleep(0.01)
    note("end", name)
    return name


@functions.on(Go)
async def chain(ctx: Context[dict[str, str]]) -> str:
    return " ".join([await work(name) for name in ctx.data["names"].split()])


@functions.function(str)
async def gated(ctx: Context[str]) -> str:
    first = await wait_for_file.aio(ctx.data)
    return first + await work("after")


@functions.function(str)
async def collected(ctx: Context[str]) -> tuple[int, int]:
    """How many objects the garbage collector leaves out in this worker, and how many it looks at."""
    return gc.get_freeze_count(), len(gc.get_objects())


@functions.function(str)
async def state_of_worker(ctx: Context[str]) -> str:
    return str(ctx.state)


@functions.function(str)
def blocking(ctx: SyncContext[str]) -> str:
    return wait_for_file(ctx.data)


@functions.function(str)
async def failing(ctx: Context[str]) -> str:
    raise ValueError(ctx.data)
