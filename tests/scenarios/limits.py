"""Functions that are limited, cancelled or changed, for the scenarios."""

import asyncio
from typing import Any

from onward import App, Context, EventType, Retry, RunCancelled, StepFailed, SyncContext, Timeouts, current_step, step

functions = App("limits", timeouts=Timeouts(step=0.02))
Answered = EventType("test/answered", str)

ran: list[Any] = []


@step(retry=Retry(attempts=3, backoff=0, jitter=0))
async def slow_twice() -> int:
    attempt = current_step().attempt
    ran.append(attempt)
    if attempt < 3:
        await asyncio.Event().wait()
    return attempt


@functions.function(int)
async def hurries(ctx: Context[int]) -> int:
    return await slow_twice()


@step(heartbeat=0.02, timeout="1h", retry=Retry(attempts=2, backoff=0, jitter=0))
async def dies_silently() -> Any:
    here = current_step()
    ran.append(here.details)
    if here.attempt == 1:
        here.heartbeat("half of it")
        await asyncio.Event().wait()
    return here.details


@functions.function(int)
async def listens(ctx: Context[int]) -> Any:
    return await dies_silently()


@step(retry=Retry(attempts=21, backoff="10m", factor=1, jitter=0, max_time="45m"))
async def never_up() -> None:
    ran.append(current_step().attempt)
    raise ConnectionError("down")


@functions.function(int)
async def gives_up_in_time(ctx: Context[int]) -> str:
    try:
        await never_up()
    except StepFailed as failed:
        return f"{failed.type} after {failed.attempts}"
    return "?"


@step
async def note(what: str) -> str:
    ran.append(what)
    return what


@functions.function(int)
async def asks_until_evening(ctx: Context[int]) -> list[str]:
    notes = [await note("asked")]
    try:
        async with ctx.timeout("8h"):
            while True:
                try:
                    async with ctx.timeout("3h"):
                        answer = await ctx.wait_for_event(Answered)
                        assert answer is not None
                        return [*notes, await note(answer.data)]
                except TimeoutError:
                    notes.append(await note("reminded"))
    except TimeoutError:
        return [*notes, await note("closed")]


@functions.function(int)
def asks_in_a_thread(ctx: SyncContext[int]) -> list[str]:
    notes = [ctx.step.run("note", note.fn, "asked")]
    try:
        with ctx.timeout("8h"):
            ctx.gather(lambda: ctx.wait_for_event(Answered), lambda: ctx.sleep("1h"))
            return notes
    except TimeoutError:
        return [*notes, ctx.step.run("note", note.fn, "closed")]


@functions.function(str)
async def changed(ctx: Context[str]) -> list[Any]:
    seen = [await ctx.patch("one"), await note("between"), await ctx.patch("two"), await ctx.patch("one")]
    await ctx.sleep("1h")
    return [*seen, await ctx.patch("three")]


@functions.function(str)
def changed_in_a_thread(ctx: SyncContext[str]) -> list[Any]:
    seen = [ctx.patch("one"), ctx.step.run("note", note.fn, "between"), ctx.patch("one")]
    ctx.sleep("1h")
    return [*seen, ctx.patch("two")]


@functions.function(int)
async def agents(ctx: Context[int]) -> list[list[str]]:
    async def agent(name: str) -> list[str]:
        with ctx.scope("agent"):
            return await asyncio.gather(*(ctx.step.run("tool", note.fn, f"{name} {n}") for n in range(ctx.data)))

    return [*await asyncio.gather(agent("ann"), agent("bob"))]


@functions.function(int)
async def child(ctx: Context[int]) -> None:
    try:
        await ctx.sleep("1d")
    except RunCancelled:
        await note("child cleans up")
        raise


@functions.function(int)
async def parent(ctx: Context[int]) -> None:
    try:
        await ctx.invoke(child, 1)
    except RunCancelled as cancelled:
        await note(f"parent cleans up: {cancelled}")
        await asyncio.gather(note("one more"), note("and another"))
        raise


@functions.function(int)
def cleans_up_in_a_thread(ctx: SyncContext[int]) -> None:
    try:
        ctx.gather(lambda: ctx.sleep("1d"), lambda: ctx.sleep("2d"))
    except RunCancelled:
        ctx.step.run("note", note.fn, "thread cleans up")
        raise


@functions.function(int)
async def sleeps_in_its_clean_up(ctx: Context[int]) -> None:
    try:
        await ctx.sleep("1d")
    except RunCancelled:
        await note("first")
        await ctx.sleep("1h")
        await note("never")
        raise
