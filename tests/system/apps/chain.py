"""A run of ten short steps, each noted in the test's ledger."""

import asyncio

from onward import App, Context, EventType, step

from tests.support.processes import note

STEPS = 10
Linked = EventType("test/linked", int)
functions = App("chain")


@step
async def link(run: int, n: int) -> int:
    note(run, n)
    await asyncio.sleep(0.05)
    return n


@functions.on(Linked)
async def chain(ctx: Context[int]) -> int:
    return sum([await link(ctx.data, n) for n in range(STEPS)])
