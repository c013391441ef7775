"""What the workers of compose.yaml run: replace it by your own."""

from __future__ import annotations

import asyncio

from onward import App, Context, EventType, step

OrderPlaced = EventType("shop/order.placed", dict[str, str])
functions = App("shop")


@step
async def charge(order: str) -> str:
    await asyncio.sleep(1)
    return f"paid {order}"


@step
async def ship(order: str) -> str:
    await asyncio.sleep(1)
    return f"sent {order}"


@functions.on(OrderPlaced)
async def fulfil(ctx: Context[dict[str, str]]) -> list[str]:
    return [await charge(ctx.data["order"]), await ship(ctx.data["order"])]
