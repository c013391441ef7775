"""Functions that time starts: by an event that comes in later, by the clock, and by a sleep that is over."""

from onward import App, Context, EventType, Tick, step

from tests.support.processes import note

Later = EventType("test/later", int)
Sleeper = EventType("test/sleeper", float)
functions = App("timely")


@step
async def noted(what: str, n: object) -> None:
    note(what, n)


@functions.on(Later)
async def later(ctx: Context[int]) -> None:
    await noted("later", ctx.data)


@functions.on(Sleeper)
async def sleeper(ctx: Context[float]) -> None:
    await ctx.sleep(ctx.data)
    await noted("awake", ctx.run_id)


@functions.cron("* * * * *", catch_up="all")
async def minutely(ctx: Context[Tick]) -> None:
    await noted("tick", ctx.data.at.isoformat())
