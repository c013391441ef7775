"""A user's code, as it is in an image: two steps that take no time."""

from __future__ import annotations

from onward import App, Context, EventType, step

OrderPlaced = EventType("shop/order.placed", dict[str, str])
functions = App("shop")


@step
async def charge(order: str) -> str:
    return f"paid {order}"


@step
async def ship(order: str) -> str:
    return f"sent {order}"


@functions.on(OrderPlaced)
async def fulfil(ctx: Context[dict[str, str]]) -> list[str]:
    return [await charge(ctx.data["order"]), await ship(ctx.data["order"])]
