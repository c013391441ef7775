"""Functions that wait for several things at once, for the scenarios."""

import asyncio
from collections import Counter

from onward import App, Context, EventType, Retry, RetryAfter, StepFailed, Winner, step

functions = App("parallel", retry=Retry(attempts=1))
Ordered = EventType("test/ordered", dict[str, int])
Paid = EventType("test/paid", dict[str, int])
Arrived = EventType("test/arrived", str)

began: Counter[str] = Counter()
stopped: list[str] = []


@step
async def double(n: int) -> int:
    return 2 * n


@step
async def fail(why: str) -> int:
    raise RuntimeError(why)


@step
async def endless(name: str) -> int:
    began[name] += 1
    try:
        await asyncio.Event().wait()
    finally:
        stopped.append(name)
    return 0


@step(retry=Retry(attempts=2))
async def later() -> int:
    began["later"] += 1
    raise RetryAfter("1h")


@functions.on(Ordered)
async def pays_in_time(ctx: Context[dict[str, int]]) -> list[str]:
    winner = await ctx.race(paid=ctx.wait_for_event(Paid, match="id"), late=ctx.sleep("1h", id="late"))
    await double(len(winner.name))  # its arguments are compared on each replay
    await ctx.sleep("1d", id="rest")
    paid = winner.value or await ctx.wait_for_event(Paid, match="id", timeout="1m")
    return [winner.name, "?" if paid is None else str(paid.data["amount"])]


@functions.function(int)
async def quickest_step(ctx: Context[int]) -> Winner[int]:
    winner = await ctx.race(endless=endless("racer"), quick=double(ctx.data), endless_too=endless("other"))
    await double(winner.value)
    return winner


@functions.function(int)
async def quickest_fails(ctx: Context[int]) -> str:
    try:
        await ctx.race(endless=endless("racer"), bad=fail("first"))
    except StepFailed as failed:
        await double(1)
        return failed.message
    return "?"


@functions.function(int)
async def slow_child(ctx: Context[int]) -> int:
    await ctx.sleep("1d")
    return ctx.data


@functions.function(int)
async def gives_up_on_a_child(ctx: Context[int]) -> str:
    winner = await ctx.race(child=ctx.invoke(slow_child, ctx.data), late=ctx.sleep("1m"))
    await ctx.sleep("1m", id="rest")
    return winner.name


@functions.function(int)
async def gives_up_on_retries(ctx: Context[int]) -> str:
    winner = await ctx.race(retried=later(), late=ctx.sleep("1m"))
    await ctx.sleep("1d", id="rest")
    return winner.name


@functions.function(int)
async def cleans_up_after_a_race(ctx: Context[int]) -> list[int]:
    undone: list[int] = []

    async def careful() -> None:
        try:
            await ctx.sleep("1d")
        finally:
            if not ctx.leaving:
                undone.append(await double(21))

    await ctx.race(careful=careful(), quick=double(1))
    return undone


@functions.function(int)
async def as_they_arrive(ctx: Context[int]) -> list[str]:
    async def arrival(number: int) -> str:
        arrived = await ctx.wait_for_event(Arrived, id=f"arrival-{number}", lookback=False)
        return f"{number}:{'' if arrived is None else arrived.data}"

    async def sleeper() -> str:
        await ctx.sleep("1h")
        return "slept"

    order: list[str] = []
    async for done in ctx.as_completed([sleeper(), arrival(0), double_later(ctx)]):
        order.append(done.result())
        await double(len(order))
    return order


async def double_later(ctx: Context[int]) -> str:
    await ctx.sleep("1m")
    return str(await double(ctx.data))


@functions.function(int)
async def despite_failures(ctx: Context[int]) -> list[str]:
    ends: list[str] = []
    async for done in ctx.as_completed(fail(f"{n}") if n % 2 else double(n) for n in range(ctx.data)):
        try:
            ends.append(str(done.result()))
        except StepFailed as failed:
            ends.append(failed.message)
    return sorted(ends)


@functions.function(int)
async def first_to_fail(ctx: Context[int]) -> str:
    async def item(n: int) -> int:
        if n == 2:
            return await fail("two")
        await double(n)
        await ctx.sleep("1d")
        return n

    try:
        await ctx.map(item, range(ctx.data), limit=3)
    except StepFailed as failed:
        await ctx.sleep("1m", id="rest")
        return failed.message
    return "?"
