"""Functions that call each other, and waits for events that go wrong."""

import asyncio
from dataclasses import dataclass
from typing import Any

from onward import App, Concurrency, Context, EventType, InvokeFailed, NonRetryable, StepFailed, SyncContext, step

functions = App("children")
executed: list[str] = []


@dataclass
class Order:
    id: str
    amounts: list[int]


@dataclass
class Invoice:
    order: Order
    total: int


Paid = EventType("children/paid", dict[str, int])


@step
async def note(what: str) -> str:
    executed.append(what)
    return what


@functions.function(Order)
def invoice(ctx: SyncContext[Order]) -> Invoice:
    note_sync(ctx.data.id)
    return Invoice(ctx.data, sum(ctx.data.amounts))


@step
def note_sync(what: str) -> str:
    executed.append(what)
    return what


@functions.function(list[Order])
async def invoices(ctx: Context[list[Order]]) -> list[Invoice]:
    return await asyncio.gather(*(ctx.invoke(invoice, order) for order in ctx.data))


@functions.function(int)
async def picky(ctx: Context[int]) -> int:
    await note(f"picky {ctx.data}")
    if ctx.data < 0:
        raise NonRetryable("no negative numbers", data={"number": ctx.data})
    return ctx.data


@functions.function(list[int])
async def asks_all(ctx: Context[list[int]]) -> list[str]:
    results = await asyncio.gather(*(ctx.invoke(picky, n) for n in ctx.data), return_exceptions=True)
    return [f"{r.type}: {r.message} {r.data}" if isinstance(r, InvokeFailed) else str(r) for r in results]


@functions.function(int)
def asks_in_a_thread(ctx: SyncContext[int]) -> str:
    try:
        return str(ctx.invoke(picky, ctx.data))
    except InvokeFailed as failed:
        return failed.type


@functions.function(int)
async def sleeps(ctx: Context[int]) -> int:
    await ctx.sleep("1h")
    await note("slept")
    return ctx.data


@functions.function(int)
async def impatient(ctx: Context[int]) -> str:
    try:
        await ctx.invoke(sleeps, 1, timeout="10m")
    except InvokeFailed as failed:
        await note(failed.type)
        return failed.type
    return "in time"


@functions.function(int, concurrency=Concurrency(1))
async def countdown(ctx: Context[int]) -> int:
    """Calls itself, although only one run of it may be at work."""
    await note(f"down {ctx.data}")
    return 0 if ctx.data == 0 else 1 + await ctx.invoke(countdown, ctx.data - 1)


@functions.function(int, concurrency=Concurrency(1))
def countdown_in_a_thread(ctx: SyncContext[int]) -> int:
    note_sync(f"down {ctx.data}")
    return 0 if ctx.data == 0 else 1 + ctx.invoke(countdown_in_a_thread, ctx.data - 1)


@functions.function(int, concurrency=Concurrency(1))
async def ping(ctx: Context[int]) -> int:
    return 0 if ctx.data == 0 else 1 + await ctx.invoke(pong, ctx.data - 1)


@functions.function(int, concurrency=Concurrency(1))
async def pong(ctx: Context[int]) -> int:
    return 0 if ctx.data == 0 else 1 + await ctx.invoke(ping, ctx.data - 1)


@functions.function(int, concurrency=Concurrency(1))
async def calls_itself_beside_a_step(ctx: Context[int]) -> list[Any]:
    if ctx.data == 0:
        return []
    return list(await asyncio.gather(ctx.invoke(calls_itself_beside_a_step, 0), note("beside")))


@functions.function(str)
async def waits_where(ctx: Context[str]) -> str:
    try:
        paid = await ctx.wait_for_event(Paid, where=ctx.data, timeout="1h")
    except StepFailed as failed:
        await note(failed.type)
        return failed.message
    return "late" if paid is None else f"paid {paid.data['amount']}"


@functions.function(str)
async def waits_beside_a_wrong_one(ctx: Context[str]) -> list[str]:
    right = ctx.wait_for_event(Paid, where="async.data.amount > 1")
    wrong = ctx.wait_for_event(Paid, where="async.data.amount >")
    found, failed = await asyncio.gather(right, wrong, return_exceptions=True)
    return [type(found).__name__, type(failed).__name__]


@functions.function(int)
async def cannot_encode(ctx: Context[int]) -> str:
    unencodable: Any = object()
    try:
        await ctx.invoke(picky, unencodable)
    except Exception as error:  # noqa: BLE001 - the test says which
        return f"{type(error).__name__}: {error}"
    return "?"
