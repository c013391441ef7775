"""Steps that stop their worker from turning: each notes in the test's ledger that it began and that it ended."""

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path

from onward import App, Context, Retry, step

from tests.support.processes import note

functions = App("test")
HOLDS_GIL = ctypes.PyDLL(None)  # its calls keep the interpreter to themselves, as careless extensions do


def hold_the_interpreter(seconds: float) -> None:
    HOLDS_GIL.usleep(int(seconds * 1_000_000))


@step
async def hold(name: str, seconds: float) -> str:
    note("begin", name)
    hold_the_interpreter(seconds)
    note("end", name)
    return name


@step
async def block(name: str, seconds: float) -> str:
    note("begin", name)
    await asyncio.sleep(0)  # what blocks is not always what began last
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake that this is about
    note("end", name)
    return name


def depth(calls: int) -> int:
    return 1 + depth(calls - 1) if calls else 0


def compute(seconds: float) -> None:
    """Python code whose stack is another one at any moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert depth(300) == 300


@step
async def work(name: str, seconds: float) -> str:
    note("begin", name)
    compute(seconds)
    note("end", name)
    return name


@step
def hold_in_thread(name: str, seconds: float) -> str:
    note("begin", name)
    hold_the_interpreter(seconds)
    note("end", name)
    return name


@step(retry=Retry(attempts=1))
async def die(name: str, number: int) -> str:
    note("begin", name)
    os.kill(os.getpid(), number)
    await asyncio.Event().wait()
    return name


@step
async def wait(name: str, seconds: float) -> str:
    note("begin", name)
    await asyncio.sleep(seconds)
    note("end", name)
    return name


@step
async def wait_for_gate(name: str) -> str:
    note("begin", name)
    while not Path(os.environ["HOME_OF_TEST"], name).exists():  # noqa: ASYNC110, ASYNC240 - a test opens it
        await asyncio.sleep(0.01)
    note("end", name)
    return name


@functions.function(str)
async def gated(ctx: Context[str]) -> str:
    return await wait_for_gate(ctx.data)


@functions.function(tuple[str, float])
async def holding(ctx: Context[tuple[str, float]]) -> str:
    return await hold(*ctx.data)


@functions.function(tuple[str, float])
async def working(ctx: Context[tuple[str, float]]) -> str:
    return await work(*ctx.data)


@functions.function(tuple[str, float])
async def blocking(ctx: Context[tuple[str, float]]) -> str:
    return await block(*ctx.data)


@functions.function(tuple[str, float])
async def threaded(ctx: Context[tuple[str, float]]) -> str:
    return await hold_in_thread.aio(*ctx.data)


@functions.function(tuple[str, float])
async def waiting(ctx: Context[tuple[str, float]]) -> str:
    return await wait(*ctx.data)


@functions.function(str)
async def deadly(ctx: Context[str]) -> str:
    return await die(ctx.data, signal.SIGKILL)
