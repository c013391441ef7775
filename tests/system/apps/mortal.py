"""Steps that end their worker's process in every way that there is, and steps that only wait."""

import asyncio
import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

from onward import App, Context, Retry, step

from tests.support.processes import ledger_of, note

functions = App("test")
hoard: list[bytes] = []
VERSION = "old code"


@step(retry=Retry(attempts=1))
async def die(name: str, how: str) -> str:
    note("begin", name)
    note("victim", os.getpid())
    if ledger_of(Path(os.environ["HOME_OF_TEST"]))[f"begin {name}"] > 1:
        return name
    match how:
        case "crash":
            note("helper", subprocess.Popen(["sleep", "600"]).pid)  # noqa: ASYNC220 - what it starts goes with it
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "success":
            os._exit(0)
        case "give up":
            os.abort()
        case "out of memory":
            await asyncio.to_thread(_fill_memory)
        case _:
            os.kill(os.getpid(), int(how))
    await asyncio.Event().wait()
    return name


def _fill_memory() -> None:
    """As native code does that does not look whether it got what it asked for."""
    allocate = ctypes.CDLL(None).malloc
    allocate.restype = ctypes.c_void_p
    while True:
        ctypes.memset(allocate(ctypes.c_size_t(1 << 20)), 1, 1 << 20)


@step
async def wait_for_gate(name: str) -> str:
    note("begin", name, os.getpid())
    while not Path(os.environ["HOME_OF_TEST"], "gate").exists():  # noqa: ASYNC110, ASYNC240 - a test opens it
        await asyncio.sleep(0.01)
    return name


@step
def hold_a_thread(name: str) -> str:
    note("begin", name, os.getpid())
    while not Path(os.environ["HOME_OF_TEST"], "gate").exists():
        time.sleep(0.01)
    return name


@step
async def finish(name: str) -> str:
    return f"{name} by {VERSION}"


@step
async def note_pid(name: str) -> int:
    note(name, os.getpid())
    return os.getpid()


@step
async def grow(mebibytes: int) -> int:
    hoard.append(b"x" * (mebibytes << 20))
    return os.getpid()


@step
async def grow_and_stay(mebibytes: int) -> None:
    hoard.append(b"x" * (mebibytes << 20))
    await asyncio.Event().wait()


@functions.function(tuple[str, str])
async def deadly(ctx: Context[tuple[str, str]]) -> str:
    return await die(*ctx.data)


@functions.function(str)
async def gated(ctx: Context[str]) -> str:
    await note_pid(f"first {ctx.data}")
    await wait_for_gate(ctx.data)
    return await finish(ctx.data)


@functions.function(str)
async def held(ctx: Context[str]) -> str:
    return await hold_a_thread.aio(ctx.data)


@functions.function(str)
async def who(ctx: Context[str]) -> int:
    return await note_pid(ctx.data)


@functions.function(int)
async def growing(ctx: Context[int]) -> int:
    pid = await grow(ctx.data)
    await wait_for_gate("grown")
    return pid


@functions.function(int)
async def hungry(ctx: Context[int]) -> None:
    await grow_and_stay(ctx.data)


if "UNABLE_TO_IMPORT" in os.environ:
    sys.exit("not today")
