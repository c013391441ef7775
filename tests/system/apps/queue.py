"""Functions for the tests of queues and limits."""

from __future__ import annotations

from typing import Any

from onward import App, Concurrency, Context, EventType

Asked = EventType("desk/asked", dict[str, Any])

functions = App("desk")


@functions.on(Asked, concurrency=Concurrency(1, key="event.data.customer", of="run"))
async def serve(ctx: Context[dict[str, Any]]) -> str:
    """Keep the customer's place until the test says that it is over."""
    await ctx.wait_for_signal("done", bool)
    return str(ctx.data["customer"])
