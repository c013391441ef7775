"""A run with a journal of some megabytes, that waits before its end until a test lets it go."""

import asyncio
import os
from pathlib import Path

from onward import App, Checkpoint, Context, step

from tests.support.processes import note

functions = App("lengthy", checkpoint=Checkpoint.PIPELINED)


@step
async def piece(n: int) -> str:
    note("piece", n)
    return f"{n:08}" * 400


@step(barrier=True)
async def end() -> None:
    """Begins when all before it is stored: whoever dies from here on repeats nothing else."""
    note("end")
    while not Path(os.environ["HOME_OF_TEST"], "go").exists():  # noqa: ASYNC110, ASYNC240 - it stands for work
        await asyncio.sleep(0.02)


@functions.function(int)
async def lengthy(ctx: Context[int]) -> int:
    """Return the sum of what so many steps have returned."""
    pieces = [await piece(n) for n in range(ctx.data)]
    await end()
    return sum(int(text[:8]) for text in pieces)
