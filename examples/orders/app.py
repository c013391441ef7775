"""An order from its payment to its invoice: `worker dev examples.orders.app:functions`.

The worker may die at any line. What was charged is not charged again, and the ten minutes go on where they were.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from onward import App, Concurrency, Context, EventType, NonRetryable, Retry, step

from examples import outside


@dataclass
class Order:
    id: str
    customer: str
    total: Decimal


@dataclass
class Reservation:
    warehouse: str
    at: datetime


OrderPlaced = EventType("shop/order.placed", Order)
OrderConfirmed = EventType("shop/order.confirmed", Order)
functions = App("shop")


@step
async def reserve(order: Order) -> Reservation:
    outside.do(f"reserve {order.id}")
    return Reservation("AMS1", datetime.now(UTC))


@step(retry=Retry(attempts=4), barrier=True)  # durable before and after, whatever the checkpoint setting
async def charge(order: Order, *, key: str) -> Decimal:
    outside.do(f"charge {order.id}: {order.total}, once for {key}")
    return order.total


@step
async def ship(order: Order, reservation: Reservation) -> str:
    outside.do(f"ship {order.id} from {reservation.warehouse}")
    return f"TRK-{order.id}-{reservation.warehouse}"


async def send_email(to: str, tracking: str) -> None:
    outside.do(f"mail to {to}: {tracking} is on its way")


async def track(name: str, order: str) -> int:
    outside.do(f"track {name} {order}")
    return 1


@functions.function(Order)
async def make_invoice(ctx: Context[Order]) -> str:
    return f"INV-{ctx.data.id}"


async def refund(ctx: Context[Order], error: BaseException) -> None:
    await ctx.step.run("refund", give_back, ctx.data, str(error))


async def give_back(order: Order, why: str) -> None:
    outside.do(f"refund {order.id}: {why}")


@functions.on(
    OrderPlaced, concurrency=Concurrency(1, key="event.data.customer"), retry=Retry(attempts=4), on_failure=refund
)
async def process_order(ctx: Context[Order]) -> str:
    order = ctx.data
    reservation = await reserve(order)
    paid = await charge(order, key=ctx.run_id)
    await ctx.sleep("10m")
    if await ctx.wait_for_event(OrderConfirmed, match="id", timeout="24h") is None:
        raise NonRetryable("not confirmed")
    tracking = await ship(order, reservation)
    invoice = await ctx.invoke(make_invoice, order)
    _, count = await asyncio.gather(
        ctx.step.run("email", send_email, order.customer, tracking),
        ctx.step.run("track", track, "shipped", order.id),
    )
    return f"{invoice} {paid} {count}"
