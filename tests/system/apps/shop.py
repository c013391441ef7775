"""Functions for the tests of the API and of the commands."""

from __future__ import annotations

from typing import Any

from onward import App, Concurrency, Context, EventType, Retry, SyncContext, step

from tests.system.apps.office import wait_for_file

Placed = EventType("cmd/order.placed", dict[str, Any])

functions = App("cmd")


@step
async def charge(total: int) -> int:
    return total


@step(retry=Retry(attempts=3, backoff="10ms"))
async def flaky(fails: int) -> int:
    from onward import current_step

    attempt = current_step().attempt
    if attempt <= fails:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


@functions.function(int)
async def receipt(ctx: Context[int]) -> str:
    return f"paid {await charge(ctx.data)}"


@functions.on(Placed)
async def order(ctx: Context[dict[str, Any]]) -> dict[str, Any]:
    ctx.tag(customer=ctx.data["customer"])
    total = await charge(ctx.data["total"])
    await flaky(1)
    await ctx.sleep("50ms", id="breath")
    text = await ctx.invoke(receipt, total)
    return {"total": total, "receipt": text}


@functions.function(str)
async def approval(ctx: Context[str]) -> dict[str, str] | None:
    return await ctx.wait_for_signal(ctx.data, dict[str, str], timeout="30d")


@functions.function(list[str])
async def gates(ctx: Context[list[str]]) -> int:
    """Go through one gate after the other, as the test opens them."""
    for name in ctx.data:
        await wait_for_file.aio(name)
    return len(ctx.data)


@functions.function(str, concurrency=Concurrency(2))
def failing(ctx: SyncContext[str]) -> str:
    raise ValueError(ctx.data)


@functions.cron("0 0 1 1 *")
async def yearly(ctx: Context[Any]) -> None:
    return None
