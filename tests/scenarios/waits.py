"""Functions that wait for signals and callbacks, start runs of their own, and say what they are about."""

import asyncio

from onward import App, Callback, Context, InvokeFailed, StartedRun, SyncContext, step

functions = App("waits")
mails: list[str] = []


@step
async def mail(to: str) -> str:
    mails.append(to)
    return to


@functions.function(int)
async def approval(ctx: Context[int]) -> str:
    await mail("reviewer")
    approved = await ctx.wait_for_signal("approved", bool, timeout="1h")
    return "late" if approved is None else "yes" if approved else "no"


@functions.function(int)
def approval_in_a_thread(ctx: SyncContext[int]) -> str:
    mail_sync("reviewer")
    approved = ctx.wait_for_signal("approved", bool, timeout="1h")
    return "late" if approved is None else "yes" if approved else "no"


@step
def mail_sync(to: str) -> str:
    mails.append(to)
    return to


@functions.function(int)
async def collects(ctx: Context[int]) -> list[int]:
    found: list[int] = []
    for _ in range(ctx.data):
        value = await ctx.wait_for_signal("number", int)
        assert value is not None
        found.append(value)
        await mail(str(value))
    return found


@functions.function(int)
async def two_at_once(ctx: Context[int]) -> list[str | None]:
    first, second = await asyncio.gather(
        ctx.wait_for_signal("word", str, id="first"), ctx.wait_for_signal("word", str, id="second")
    )
    return [first, second]


@functions.function(int)
async def signal_or_timer(ctx: Context[int]) -> str:
    winner = await ctx.race(signal=ctx.wait_for_signal("go", str), timer=ctx.sleep("1h"))
    await mail(winner.name)
    return winner.name


@functions.function(str)
async def webhook(ctx: Context[str]) -> dict[str, int] | None:
    callback = await ctx.callback(dict[str, int], timeout="3d")
    await mail(callback.url)
    return await callback


@functions.function(str)
def webhook_in_a_thread(ctx: SyncContext[str]) -> dict[str, int] | None:
    callback = ctx.callback(dict[str, int], timeout="3d")
    mail_sync(callback.url)
    return callback.wait()


@functions.function(str)
async def answered_before_it_is_awaited(ctx: Context[str]) -> list[int | None]:
    callback = await ctx.callback(int)
    await mail(callback.url)
    await ctx.sleep("1h")
    await mail("later")
    return [await callback, await callback]


@functions.function(str)
async def reminds(ctx: Context[str]) -> str:
    """Wait for an hour, remind, and go on waiting for the same answer."""
    callback = await ctx.callback(str)
    await mail(callback.url)
    for _ in range(3):
        winner = await ctx.race(answer=answer_of(callback), hour=ctx.sleep("1h"))
        if winner.name == "answer":
            return str(winner.value)
        await mail("reminder")
    return "nobody"


async def answer_of(callback: Callback[str]) -> str | None:
    return await callback


@functions.function(int)
async def two_callbacks(ctx: Context[int]) -> list[int | None]:
    callbacks = await asyncio.gather(*(ctx.callback(int) for _ in range(2)))
    await mail(" ".join(callback.url for callback in callbacks))
    return [await callback for callback in reversed(callbacks)]


@functions.function(int)
async def gives_up_an_opening(ctx: Context[int]) -> str:
    """Cancel a call of `ctx.callback` whose answer is on its way."""
    opening = asyncio.create_task(ctx.callback(int))
    await mail("first")
    opening.cancel()
    await asyncio.wait([opening])
    await mail("second")
    return "cancelled" if opening.cancelled() else "open"


@functions.function(int)
async def child(ctx: Context[int]) -> int:
    await ctx.sleep("1h")
    await mail(f"child {ctx.data}")
    return ctx.data * 2


@functions.function(int)
async def starts(ctx: Context[int]) -> list[StartedRun]:
    started = [await ctx.start(child, n) for n in range(ctx.data)]
    await mail("started")
    return started


@functions.function(int)
def starts_in_a_thread(ctx: SyncContext[int]) -> StartedRun:
    started = ctx.start(child, ctx.data)
    mail_sync("started")
    return started


@functions.function(int)
async def starts_and_waits(ctx: Context[int]) -> None:
    await ctx.start(child, 7)
    await ctx.invoke(child, 8)


stranger = App("elsewhere")


@stranger.function(int)
async def nobody(ctx: Context[int]) -> int:
    return ctx.data


@functions.function(int)
async def starts_an_unknown_one(ctx: Context[int]) -> str:
    try:
        await ctx.start(nobody, 1)
    except InvokeFailed as failed:
        await mail(failed.type)
        return failed.message
    return "?"


@functions.function(int)
async def tagged(ctx: Context[int]) -> None:
    ctx.tag(customer="42", paid=False)
    await mail("one")
    ctx.tag(paid=True, amount=ctx.data)
    await mail("two")


@functions.function(int)
def tagged_in_a_thread(ctx: SyncContext[int]) -> None:
    ctx.tag(customer="42")
    mail_sync("one")


@functions.function(int)
async def too_many_tags(ctx: Context[int]) -> None:
    for n in range(33):
        ctx.tag(**{f"k{n}": n})


@functions.function(int)
async def progresses(ctx: Context[int]) -> None:
    async def body(n: int) -> None:
        ctx.progress({"in": n})

    for n in range(ctx.data):
        ctx.progress(n)
        await ctx.step.run("work", body, n)
        await ctx.sleep("1m")
    ctx.progress("done")
