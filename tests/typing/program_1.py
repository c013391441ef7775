"""The order program: async steps, a durable wait, a child run, parallel steps and a failure handler.

Kept exactly as it stands in the documentation.
"""

# fmt: off
# ruff: noqa: E501, UP017, I001
import asyncio
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from onward import App, Concurrency, Context, EventType, NonRetryable, Retry, step

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
    return Reservation("AMS1", datetime.now(timezone.utc))

@step(retry=Retry(attempts=4), barrier=True)         # durable before and after, whatever the checkpoint mode
async def charge(order: Order, *, key: str) -> Decimal:
    return order.total

@step
async def ship(order: Order, res: Reservation) -> str:
    return f"TRK-{order.id}-{res.warehouse}"

async def send_email(to: str, tracking: str) -> None: ...
async def track(name: str, order_id: str) -> int: return 1

@functions.function(Order)
async def make_invoice(ctx: Context[Order]) -> str:
    return "INV-" + ctx.data.id

async def refund(ctx: Context[Order], error: BaseException) -> None:
    ctx.logger.info("refund", order=ctx.data.id, why=str(error))

@functions.on(OrderPlaced, concurrency=Concurrency(1, key="event.data.customer"), retry=Retry(attempts=4), on_failure=refund)
async def process_order(ctx: Context[Order]) -> str:
    order = ctx.data
    res = await reserve(order)                                    # Reservation
    paid = await charge(order, key=ctx.run_id)                    # Decimal
    await ctx.sleep("10m")
    if await ctx.wait_for_event(OrderConfirmed, match="id", timeout="24h") is None:
        raise NonRetryable("not confirmed")
    tracking = await ship(order, res)
    invoice = await ctx.invoke(make_invoice, order)               # str
    _, n = await asyncio.gather(ctx.step.run("email", send_email, order.customer, tracking),
                                ctx.step.run("track", track, "shipped", order.id))     # int
    return f"{invoice} {paid} {n}"
