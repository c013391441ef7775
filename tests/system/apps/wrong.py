"""A function that returns what cannot be kept, and one whose step takes as long as the test wants."""

import threading
from typing import Any

from onward import App, Context, Retry, step

from tests.support.processes import note
from tests.system.apps.office import wait_for_file, work

functions = App("wrong")


@step(retry=Retry(attempts=2, backoff=0.05))
async def make_lock() -> Any:
    note("make lock")
    return threading.Lock()


@functions.function(str)
async def keep_lock(ctx: Context[str]) -> str:
    first = await work(ctx.data)
    await make_lock()
    return first


@functions.function(str)
async def gated(ctx: Context[str]) -> str:
    return await work(f"before {ctx.data}") + await wait_for_file.aio(ctx.data)
