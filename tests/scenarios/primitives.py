"""Functions that use one primitive each, for the scenarios."""

import asyncio
from datetime import datetime
from uuid import UUID

from onward import App, Context, EventType, NonRetryable, Retry, RetryAfter, StepFailed, SyncContext, step
from onward.errors import InvokeFailed

functions = App("primitives")
Ordered = EventType("test/ordered", dict[str, int])
Paid = EventType("test/paid", dict[str, int])
Noted = EventType("test/noted", int)


@step
async def double(n: int) -> int:
    return 2 * n


@step
def triple(n: int) -> int:
    return 3 * n


attempts: list[int] = []


@step(retry=Retry(attempts=3, backoff="2s", jitter=0))
async def flaky(fails: int) -> str:
    attempts.append(fails)
    if len(attempts) <= fails:
        raise OSError(f"attempt {len(attempts)}")
    return f"after {len(attempts)}"


@functions.function(int)
async def retries(ctx: Context[int]) -> str:
    try:
        return await flaky(ctx.data)
    except StepFailed as failed:
        return f"{failed.type} after {failed.attempts}"


@step(retry=Retry(attempts=5))
async def hopeless() -> None:
    attempts.append(0)
    raise NonRetryable("never", data={"why": "closed"})


@functions.function(int)
async def gives_up(ctx: Context[int]) -> str:
    try:
        await hopeless()
    except StepFailed as failed:
        return f"{failed.message} {failed.data}"
    return "?"


@step
async def rate_limited() -> str:
    attempts.append(0)
    if len(attempts) == 1:
        raise RetryAfter("1h")
    return "ok"


@functions.function(int)
async def waits_to_retry(ctx: Context[int]) -> str:
    return await rate_limited()


@functions.on(Ordered)
async def payment(ctx: Context[dict[str, int]]) -> str:
    paid = await ctx.wait_for_event(Paid, match="id", timeout="1h")
    return "unpaid" if paid is None else f"paid {paid.data['amount']}"


@functions.on(Noted)
async def notes(ctx: Context[int]) -> list[int]:
    found = [ctx.data]
    while (note := await ctx.wait_for_event(Noted, timeout="10m")) is not None:
        found.append(note.data)
    return found


@functions.function(int)
async def child(ctx: Context[int]) -> int:
    if ctx.data < 0:
        raise NonRetryable("negative")
    await ctx.sleep("1m")
    return await double(ctx.data)


@functions.function(int)
async def parent(ctx: Context[int]) -> str:
    try:
        doubled = await ctx.invoke(child, ctx.data)
    except InvokeFailed as failed:
        return f"child: {failed.message}"
    return str(doubled)


@functions.function(int)
async def sends(ctx: Context[int]) -> tuple[str, ...]:
    await double(ctx.data)
    ids = await ctx.send(Noted(1), Noted(2))
    await double(ctx.data)
    return ids


@functions.function(int)
async def maps(ctx: Context[int]) -> list[int]:
    doubled = await ctx.map(double, range(ctx.data), limit=3)
    return await ctx.map(triple, doubled, limit=2)


@functions.function(int)
async def first_failure_wins(ctx: Context[int]) -> str:
    async def fail() -> None:
        await double(1)
        raise ValueError("stop")

    async def go_on() -> None:
        for n in range(10):
            await double(n)
            await ctx.sleep("1m")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(go_on())
    except ExceptionGroup as failures:
        return str(failures.exceptions[0])
    return "?"


@functions.function(int)
async def times_out(ctx: Context[int]) -> str:
    try:
        async with asyncio.timeout(60):
            await ctx.sleep("1h")
    except TimeoutError:
        return f"timed out {await double(ctx.data)}"
    return "slept"


@functions.function(int)
async def repeatable(ctx: Context[int]) -> tuple[datetime, float, float, UUID]:
    await double(1)
    now = ctx.now()
    values = (now, ctx.random(), ctx.random(), ctx.uuid())
    await double(2)
    return values


@functions.function(int)
def sync_all(ctx: SyncContext[int]) -> list[int]:
    one = triple(ctx.data)
    ctx.sleep("1m")
    many = ctx.map(triple, range(4), limit=2)
    return [one, *many]


cleaned: list[str] = []


@functions.function(int)
async def cancellable(ctx: Context[int]) -> None:
    try:
        await ctx.sleep("1d")
    except asyncio.CancelledError:
        cleaned.append(str(await double(21)))
        raise
