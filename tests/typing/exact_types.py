"""What type checkers say about each call. Checked by mypy and pyright, never run."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

import onward
from onward import (
    App,
    AsyncStep,
    Callback,
    Client,
    Concurrency,
    Context,
    Cron,
    Debounce,
    Event,
    EventType,
    Fair,
    Function,
    Idempotency,
    Priority,
    RateLimit,
    Retry,
    RunHandle,
    Singleton,
    StartedRun,
    StepAttempt,
    SyncCallback,
    SyncClient,
    SyncContext,
    SyncRunHandle,
    SyncStep,
    Throttle,
    Tick,
    Trigger,
    Winner,
    current,
    current_step,
    step,
)

from tests.typing import program_1 as orders
from tests.typing import program_2 as crawler
from tests.typing.program_1 import Order, OrderConfirmed, OrderPlaced, Reservation
from tests.typing.program_2 import Batch, Page

app = App("types")

assert_type(OrderPlaced, EventType[Order])
assert_type(OrderPlaced(Order("o1", "ann", Decimal(1))), Event[Order])
assert_type(orders.process_order, Function[Order, str])
assert_type(crawler.crawl, Function[Batch, int])


@step(id="total", executor="process")
def total(page: Page, /) -> int:
    return page.words


async def shout(text: str, *, times: int = 1) -> str:
    return text * times


def count(text: str) -> int:
    return len(text)


@app.on(OrderPlaced)
async def in_async_code(ctx: Context[Order]) -> Decimal:
    assert_type(ctx.data, Order)
    assert_type(ctx.event, Event[Order])
    assert_type(ctx.events, tuple[Event[Order], ...])
    assert_type(await orders.reserve(ctx.data), Reservation)
    assert_type(await orders.charge(ctx.data, key="k"), Decimal)
    assert_type(await crawler.fetch.aio("url", limit=3), Page)
    assert_type(await orders.charge.with_options(id="again")(ctx.data, key="k"), Decimal)
    assert_type(await ctx.step.run("shout", shout, "hi", times=2), str)
    assert_type(await ctx.step.run("count", count, "hi"), int)
    assert_type(await ctx.step.run("reserve", orders.reserve, ctx.data), Reservation)
    assert_type(await ctx.step.run("fetch", crawler.fetch, "url", limit=1), Page)
    assert_type(await ctx.step.options(barrier=True).run("count", count, "hi"), int)
    assert_type(await ctx.wait_for_event(OrderConfirmed, match="id", timeout="24h"), Event[Order] | None)
    assert_type(await ctx.wait_for_event(OrderConfirmed, where="async.data.total > 0"), Event[Order] | None)
    assert_type(await ctx.wait_for_event("any/event"), Event[Any] | None)
    assert_type(await ctx.invoke(orders.make_invoice, ctx.data), str)
    assert_type(await ctx.invoke(crawler.crawl, Batch("b", [])), int)
    assert_type(await ctx.send(OrderPlaced(ctx.data)), tuple[str, ...])
    assert_type(await asyncio.gather(orders.reserve(ctx.data), ctx.step.run("n", count, "hi")), tuple[Reservation, int])
    assert_type(await ctx.map(orders.reserve, [ctx.data], limit=8), list[Reservation])
    assert_type(await ctx.map(shout, ["a"]), list[str])
    assert_type(await ctx.map(crawler.fetch, ["url"]), list[Page])
    assert_type(await ctx.map(total, [Page("u", 1)]), list[int])
    assert_type(await ctx.race(a=orders.reserve(ctx.data), b=orders.reserve(ctx.data)), Winner[Reservation])
    assert_type((await ctx.race(a=ctx.step.run("n", count, "hi"), self=ctx.step.run("n", count, "hi"))).value, int)
    assert_type(
        await ctx.race(placed=ctx.wait_for_event(OrderPlaced), late=ctx.sleep("1h")), Winner[Event[Order] | None]
    )
    assert_type(await ctx.race(child=ctx.invoke(crawler.crawl, Batch("b", [])), late=ctx.sleep(1)), Winner[int | None])
    name, page = await ctx.race(url=crawler.fetch.aio("url"))
    assert_type((name, page), tuple[str, Page])
    mixed: Winner[str | int] = await ctx.race(text=shout("a"), number=ctx.step.run("n", count, "hi"))
    assert_type(mixed.value, str | int)
    async for done in ctx.as_completed(orders.reserve(ctx.data) for _ in range(3)):
        assert_type([done], list[asyncio.Future[Reservation]])
        assert_type(done.result(), Reservation)
    async for task in ctx.as_completed({asyncio.create_task(shout("a")), asyncio.create_task(shout("b"))}):
        assert_type([task], list[asyncio.Task[str]])
    async for either in ctx.as_completed([shout("a"), asyncio.create_task(shout("b"))]):
        assert_type(await either, str)
    assert_type(await ctx.patch("change"), bool)
    with ctx.scope("agent"):
        assert_type(await ctx.step.options(timeout="1s", heartbeat=1).run("count", count, "hi"), int)
    async with ctx.timeout("1h") as limit:
        assert_type(await orders.charge.with_options(timeout=3)(ctx.data, key="k"), Decimal)
    assert_type(limit.expired(), bool)
    assert_type(current_step(), StepAttempt)
    assert_type(current_step().attempt, int)
    assert_type(await ctx.wait_for_signal("approved", bool, timeout="3d"), bool | None)
    callback: Callback[Page] = await ctx.callback(Page, timeout="3d")
    assert_type(await callback, Page | None)
    assert_type(await ctx.start(orders.make_invoice, ctx.data), StartedRun)
    assert_type((await ctx.race(answer=callback, late=ctx.sleep(1))).value, Page | None)
    ctx.tag(customer="ann", total=1.5, paid=True)
    ctx.progress({"done": 1})
    assert_type(ctx.now(), datetime)
    assert_type(ctx.random(), float)
    assert_type(ctx.uuid(), UUID)
    assert_type(current(), Context[Any] | SyncContext[Any] | None)
    return ctx.data.total


@app.function(Batch)
def in_plain_code(ctx: SyncContext[Batch]) -> list[Page]:
    assert_type(crawler.fetch("url"), Page)
    assert_type(ctx.step.run("count", count, "hi"), int)
    assert_type(ctx.step.run("shout", shout, "hi"), str)
    assert_type(ctx.wait_for_event(OrderConfirmed), Event[Order] | None)
    assert_type(ctx.patch("change"), bool)
    with ctx.timeout("1h") as limit:
        assert_type(crawler.fetch.with_options(timeout=3)("url"), Page)
    assert_type(limit.expired(), bool)
    assert_type(ctx.invoke(orders.make_invoice, Order("o", "c", Decimal(1))), str)
    assert_type(ctx.wait_for_signal("approved", bool), bool | None)
    assert_type(ctx.callback(Page), SyncCallback[Page])
    assert_type(ctx.callback(Page).wait(), Page | None)
    assert_type(ctx.start(crawler.crawl, Batch("b", [])), StartedRun)
    assert_type(ctx.gather(lambda: crawler.fetch("a"), lambda: count("b")), tuple[Page, int])
    assert_type(ctx.gather(lambda: 1, lambda: "a", lambda: None), tuple[int, str, None])
    calls: list[Callable[[], Page]] = []
    assert_type(ctx.gather(*calls), tuple[Page, ...])
    assert_type(ctx.map(crawler.fetch, ["a"], limit=2), list[Page])
    assert_type(ctx.map(count, ["a"]), list[int])
    return []


assert_type(in_async_code, Function[Order, Decimal])
assert_type(in_plain_code, Function[Batch, list[Page]])
assert_type(total, SyncStep[[Page], int])


async def annotated(step_: AsyncStep[[Order], Reservation]) -> Reservation:
    return await step_.fn(Order("o", "c", Decimal(1)))


async def from_outside(client: Client) -> None:
    order = Order("o", "c", Decimal(1))
    assert_type(await client.start(orders.process_order, order), RunHandle[str])
    assert_type(await client.start("shop/process_order", {"id": "o"}), RunHandle[Any])
    assert_type(await client.run(crawler.crawl, Batch("b", [])), int)
    assert_type(await orders.process_order.start(order, key="o1"), RunHandle[str])
    assert_type(await orders.process_order.run(order), str)
    for event in await client.send(OrderPlaced(order)):
        assert_type(event.runs, tuple[RunHandle[Any], ...])


def from_plain_code(client: SyncClient) -> None:
    assert_type(client.start(crawler.crawl, Batch("b", [])), SyncRunHandle[int])
    assert_type(client.run(crawler.crawl, Batch("b", [])), int)


async def passed_on() -> None:
    assert_type(await annotated(orders.reserve), Reservation)


either = OrderPlaced | crawler.BatchReceived.when("event.data.urls != []")
assert_type(OrderPlaced.when("event.data.total > 0"), Trigger[Order])
assert_type(either, Trigger[Order | Batch])
assert_type(either | Cron("@daily"), Trigger[Order | Batch | Tick])
assert_type(OrderPlaced(Order("o", "c", Decimal(1)), delay="1h"), Event[Order])


@app.on(either)
async def of_either(ctx: Context[Order | Batch]) -> str:
    assert_type(ctx.data, Order | Batch)
    return ctx.data.id


@app.on(either)
def of_anything(ctx: SyncContext[Any]) -> int:
    return 1


@app.cron("0 3 * * *", tz="Europe/Berlin", overlap="skip")
async def nightly(ctx: Context[Tick]) -> None:
    assert_type(ctx.data.at, datetime)
    assert_type(ctx.data.previous, datetime | None)


assert_type(of_either, Function[Order | Batch, str])
assert_type(of_anything, Function[Order | Batch, int])
assert_type(nightly, Function[Tick, None])


@app.on(either, batch=onward.Batch(100, "30s", key="event.data.id"), concurrency=[Concurrency(1), Concurrency(2, "k")])
def of_several(ctx: SyncContext[Order | Batch]) -> list[str]:
    assert_type(ctx.events, tuple[Event[Order | Batch], ...])
    assert_type(ctx.event.data, Order | Batch)
    return [event.data.id for event in ctx.events]


@app.on(OrderPlaced, debounce=Debounce("5s", timeout="1m", deliver="all"), rate_limit=RateLimit(10, 60), fair=Fair("k"))
async def of_a_burst(ctx: Context[Order]) -> int:
    assert_type([event.data for event in ctx.events], list[Order])
    return len(ctx.events)


async def apologise(ctx: Context[Order], error: BaseException) -> None: ...


@app.function(Order, throttle=Throttle(10, "1m", burst=3), priority=Priority(60), retry=None, on_failure=apologise)
async def called(ctx: Context[Order]) -> Decimal:
    return ctx.data.total


@app.cron("@daily", concurrency=Concurrency(1, scope="app", of="run"), throttle=None)
async def daily(ctx: Context[Tick]) -> str:
    return str(ctx.data.at)


assert_type(of_several, Function[Order | Batch, list[str]])
assert_type(of_a_burst.with_options(id="once", debounce=None, singleton=Singleton(mode="cancel")), Function[Order, int])
assert_type(called.with_options(retry=Retry(attempts=1), idempotency=Idempotency("k")), Function[Order, Decimal])
assert_type(daily, Function[Tick, str])
