"""Flow control in a test's own time: many events, few starts, and each in its turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from onward import (
    App,
    Batch,
    Concurrency,
    ConfigError,
    Context,
    Debounce,
    Event,
    EventType,
    Fair,
    Idempotency,
    Priority,
    RateLimit,
    Singleton,
    SyncContext,
    Throttle,
    step,
)
from onward.testing import TestEngine, TestRun

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@dataclass
class Order:
    id: str
    customer: str = "ann"
    total: int = 0


@dataclass
class Import:
    path: str


Placed = EventType("shop/placed", Order)
Imported = EventType("shop/imported", Import)
CUSTOMER = "event.data.customer"


def orders(count: int, customer: str = "ann") -> list[Event[Order]]:
    return [Placed(Order(f"{customer}{number}", customer)) for number in range(count)]


class Log:
    """What functions have done: who was at work at the same time, and when each began."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.began: list[float] = []
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def enter(self, name: str, key: str = "") -> None:
        self.order.append(name)
        self.now[key] += 1
        self.most[key] = max(self.most[key], self.now[key])

    def leave(self, key: str = "") -> None:
        self.now[key] -= 1


def one_by_one(log: Log, **options: Any) -> App:
    """A function that works for a minute, with its place."""
    app = App("shop")

    @app.on(Placed, **options)
    async def work(ctx: Context[Order]) -> str:
        log.enter(ctx.data.id, ctx.data.customer)
        log.began.append((ctx.now() - NOON).total_seconds())
        await ctx.sleep("1m")
        log.leave(ctx.data.customer)
        return ctx.data.id

    return app


def outputs(engine: TestEngine) -> list[Any]:
    return [run.output for run in engine.runs if run.status == "completed"]


def statuses(engine: TestEngine) -> Counter[str]:
    return Counter(run.status for run in engine.runs)


# -- concurrency


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_whole_place_is_kept_through_a_sleep_and_the_next_of_a_key_follows_in_order(
    crash_everywhere: bool,
) -> None:
    app, began = App("shop"), list[str]()

    @app.on(Placed, concurrency=Concurrency(1, CUSTOMER, of="run"))
    async def work(ctx: Context[Order]) -> str:
        @step(id="begin")
        async def begin() -> None:
            began.append(ctx.data.id)

        await begin()
        await ctx.sleep("1m")
        return ctx.data.id

    async with TestEngine(app, crash_everywhere=crash_everywhere) as engine:
        await engine.send(*orders(3), *orders(2, "bob"))
        assert began == ["ann0", "bob0"]
        await engine.advance("61s")
        assert began == ["ann0", "bob0", "ann1", "bob1"]
        await engine.advance("5m")
        assert statuses(engine) == {"completed": 5}


async def test_a_place_of_a_step_is_free_while_the_run_sleeps() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, concurrency=Concurrency(1))) as engine:
        await engine.send(*orders(3))
        assert log.most["ann"] == 3
        await engine.advance("2m")
        assert statuses(engine) == {"completed": 3}


async def test_both_of_two_limits_hold() -> None:
    log = Log()
    limits = [Concurrency(2, CUSTOMER, of="run"), Concurrency(3, of="run")]
    async with TestEngine(one_by_one(log, concurrency=limits)) as engine:
        await engine.send(*orders(4), *orders(4, "bob"))
        assert log.now == {"ann": 2, "bob": 1}
        await engine.advance("10m")
        assert statuses(engine) == {"completed": 8}
        assert max(log.most.values()) == 2


async def test_functions_of_an_app_share_its_places() -> None:
    app, at_work = App("shop"), Counter[str]()
    shared = Concurrency(2, scope="app", of="run")

    async def work(ctx: Context[Order]) -> None:
        at_work["now"] += 1
        at_work["most"] = max(at_work["most"], at_work["now"])
        await ctx.sleep("1m")
        at_work["now"] -= 1

    app.on(Placed, id="pack", concurrency=shared)(work)
    app.on(Placed, id="bill", concurrency=shared)(work)
    async with TestEngine(app) as engine:
        await engine.send(*orders(3))
        assert at_work["now"] == 2
        await engine.advance("10m")
        assert statuses(engine) == {"completed": 6}
        assert at_work["most"] == 2


async def test_a_limit_can_be_changed_while_runs_wait_for_it() -> None:
    app = one_by_one(log := Log(), concurrency=Concurrency(1, of="run"))
    work = app.functions["shop/work"]
    async with TestEngine(app) as engine:
        await engine.send(*orders(6))
        await engine.set_limit(work, "concurrency", 4)
        await engine.advance("1s")
        assert log.now["ann"] == 4
        await engine.set_limit(work, "concurrency", None)
        await engine.advance("2m")
        assert log.now["ann"] == 1
        with pytest.raises(ConfigError, match="function 'shop/work', option 'throttle': it has no such limit"):
            await engine.set_limit(work, "throttle", 5)


# -- how fast


async def test_a_throttle_spreads_the_starts() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, throttle=Throttle(6, "1m")), now=NOON) as engine:
        await engine.send(*orders(4))
        await engine.advance("10m")
    assert log.began == [0, 10, 20, 30]


async def test_after_a_pause_a_throttle_lets_a_burst_in() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, throttle=Throttle(6, "1m", burst=3)), now=NOON) as engine:
        await engine.send(*orders(5))
        await engine.advance("10m")
    assert log.began == [0, 0, 0, 10, 20]


async def test_each_value_of_a_key_is_throttled_by_itself() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, throttle=Throttle(1, "1m", CUSTOMER)), now=NOON) as engine:
        await engine.send(*orders(2), *orders(2, "bob"))
        await engine.advance("10m")
    assert log.began == [0, 0, 60, 60]


async def test_the_surplus_of_a_rate_limit_is_skipped_and_can_be_seen() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, rate_limit=RateLimit(2, "1h", CUSTOMER)), now=NOON) as engine:
        runs = await engine.send(*orders(3), *orders(1, "bob"))
        assert [run.status for run in runs][2:] == ["skipped", "parked"]
        assert "rate" in runs[2].reason
        await engine.advance("59m")
        assert [run.status for run in await engine.send(*orders(1))] == ["skipped"]
        await engine.advance("61s")
        assert [run.status for run in await engine.send(*orders(3))] == ["parked", "parked", "skipped"]


# -- gathering


def collector(**options: Any) -> App:
    app = App("shop")

    @app.on(Placed, **options)
    async def collect(ctx: Context[Order]) -> list[str]:
        return [event.data.id for event in ctx.events]

    return app


async def test_a_burst_becomes_one_run_with_the_newest_event() -> None:
    async with TestEngine(collector(debounce=Debounce("10s")), now=NOON) as engine:
        first = await engine.send(*orders(3))
        await engine.advance("9s")
        [run] = await engine.send(Placed(Order("late"), ts=NOON - timedelta(hours=1)))
        assert [run] == first
        await engine.advance("9s")
        assert run.status == "queued"
        await engine.advance("1s")
        assert run.output == ["ann2"]
        assert [again.id for again in await engine.send(*orders(1))] != [run.id]


async def test_a_timeout_ends_a_burst_that_does_not() -> None:
    async with TestEngine(collector(debounce=Debounce("10s", timeout="25s")), now=NOON) as engine:
        for _ in range(6):
            await engine.send(*orders(1))
            await engine.advance("5s")
        assert len(engine.runs) == 2
        assert engine.runs[0].status == "completed"


async def test_a_debounce_can_deliver_all_events() -> None:
    async with TestEngine(collector(debounce=Debounce("10s", CUSTOMER, deliver="all"))) as engine:
        await engine.send(*orders(3), *orders(1, "bob"))
        await engine.advance("10s")
        assert outputs(engine) == [["ann0", "ann1", "ann2"], ["bob0"]]


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_batch_begins_when_it_is_full_or_its_time_is_up(crash_everywhere: bool) -> None:
    async with TestEngine(collector(batch=Batch(5, "1m")), crash_everywhere=crash_everywhere) as engine:
        await engine.send(*orders(8))
        assert outputs(engine) == [[f"ann{number}" for number in range(5)]]
        await engine.advance("59s")
        assert len(outputs(engine)) == 1
        await engine.advance("1s")
        assert outputs(engine)[1] == ["ann5", "ann6", "ann7"]


async def test_a_batch_leaves_out_what_its_condition_is_not_true_of() -> None:
    batch = Batch(10, "1m", when="event.data.total < 100")
    async with TestEngine(collector(batch=batch)) as engine:
        await engine.send(Placed(Order("a", total=1)), Placed(Order("big", total=100)), Placed(Order("b", total=2)))
        assert outputs(engine) == [["big"]]
        await engine.advance("1m")
        assert outputs(engine) == [["a", "b"], ["big"]]


@pytest.mark.parametrize("is_sync", [False, True])
async def test_each_event_of_a_batch_has_its_own_type(is_sync: bool) -> None:
    app = App("shop")
    kinds = {"shop/placed": Order, "shop/imported": Import}

    async def collect(ctx: Context[Order | Import]) -> list[bool]:
        return [type(event.data) is kinds[event.name] for event in ctx.events]

    def collect_blocking(ctx: SyncContext[Order | Import]) -> list[bool]:
        return [type(event.data) is kinds[event.name] for event in ctx.events]

    decorate = app.on(Placed | Imported, id="collect", batch=Batch(3, "1m"))
    _ = decorate(collect_blocking) if is_sync else decorate(collect)
    async with TestEngine(app) as engine:
        [run] = await engine.send(Placed(Order("a")), Imported(Import("/b")), Placed(Order("c")))
        assert run.output == [True, True, True]


async def test_a_run_that_gathers_can_be_cancelled_and_the_next_event_begins_anew() -> None:
    async with TestEngine(collector(batch=Batch(5, "1m"))) as engine:
        [run] = await engine.send(*orders(2))
        await engine.cancel(run, "by hand")
        assert (run.status, run.reason) == ("cancelled", "by hand")
        await engine.send(*orders(5))
        assert len(outputs(engine)[0]) == 5


async def test_a_paused_function_goes_on_gathering() -> None:
    app = collector(batch=Batch(5, "1m"))
    collect = app.functions["shop/collect"]
    async with TestEngine(app) as engine:
        await engine.pause(collect)
        [run] = await engine.send(*orders(5))
        assert run.status == "queued"
        await engine.resume(collect)
        assert len(run.output) == 5


# -- who is next


def queue(log: Log, **options: Any) -> App:
    """A function with one place, so that others wait while a run has it."""
    return one_by_one(log, concurrency=Concurrency(1, of="run"), **options)


async def test_a_number_moves_a_run_in_the_queue() -> None:
    log = Log()
    async with TestEngine(queue(log, priority=Priority("event.data.total")), now=NOON) as engine:
        await engine.send(Placed(Order("holder")))
        await engine.send(Placed(Order("plain")))
        await engine.advance("30s")
        await engine.send(Placed(Order("ahead", total=60)), Placed(Order("behind", total=-60)))
        await engine.advance("10m")
    assert log.order == ["holder", "ahead", "plain", "behind"]


async def test_an_urgent_run_is_next() -> None:
    log = Log()
    priority = Priority("event.data.total > 100 ? 'urgent' : 0")
    async with TestEngine(queue(log, priority=priority)) as engine:
        await engine.send(*orders(100))
        await engine.advance("1h")
        await engine.send(Placed(Order("now", total=500)))
        began = len(log.order)
        await engine.advance("61s")
        assert log.order[began] == "now"


async def test_the_values_of_a_fair_key_take_turns() -> None:
    log = Log()
    async with TestEngine(queue(log, fair=Fair(CUSTOMER))) as engine:
        await engine.send(*orders(20))
        await engine.send(*orders(2, "bob"))
        await engine.advance("5m")
        assert {"bob0", "bob1"} <= set(log.order[:5])


async def test_a_heavier_value_has_more_turns() -> None:
    log = Log()
    fair = Fair(CUSTOMER, weight="event.data.customer == 'ann' ? 3 : 1")
    async with TestEngine(queue(log, fair=fair)) as engine:
        await engine.send(*orders(20), *orders(20, "bob"))
        await engine.advance("20m")
        turns = Counter(id[:3] for id in log.order[:17])
        assert 11 <= turns["ann"] <= 14


# -- only one


async def test_of_fifty_events_at_once_a_singleton_starts_one() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, singleton=Singleton())) as engine:
        runs = await engine.send(*orders(50))
        assert Counter(run.status for run in runs) == {"parked": 1, "skipped": 49}
        await engine.advance("1m")
        [again] = await engine.send(*orders(1))
        assert again.status == "parked"


async def test_a_newcomer_can_take_over_from_the_one_before() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, singleton=Singleton(CUSTOMER, "cancel"))) as engine:
        await engine.send(*orders(20), *orders(1, "bob"))
        await engine.advance("5m")
        assert statuses(engine) == {"completed": 2, "cancelled": 19}
        assert sorted(outputs(engine)) == ["ann19", "bob0"]


async def test_events_with_one_key_start_one_run_until_it_is_forgotten() -> None:
    log = Log()
    async with TestEngine(one_by_one(log, idempotency=Idempotency("event.data.id", ttl="1h")), now=NOON) as engine:
        [run] = await engine.send(*orders(1), *orders(1))
        await engine.advance("59m")
        [same] = await engine.send(*orders(1))
        assert same is run
        await engine.advance("61s")
        [other] = await engine.send(*orders(1))
        assert other is not run


# -- what is called


async def test_what_is_called_is_under_the_limits_and_never_skipped() -> None:
    app = one_by_one(Log(), singleton=Singleton(), rate_limit=RateLimit(1, "1h"))
    work = app.functions["shop/work"]
    async with TestEngine(app) as engine:
        called: list[TestRun[Any]] = [await engine.start(work, Order(str(number))) for number in range(3)]
        assert [run.status for run in called] == ["parked", "queued", "queued"]
        await engine.advance("5m")
        assert [run.output for run in called] == ["0", "1", "2"]


async def test_a_key_without_its_field_is_a_value_of_its_own() -> None:
    app, data = App("shop"), EventType("shop/any", dict[str, str])

    @app.on(data, concurrency=Concurrency(1, CUSTOMER, of="run"))
    async def work(ctx: Context[dict[str, str]]) -> None:
        await ctx.sleep("1m")

    async with TestEngine(app) as engine:
        runs = await engine.send(data({}), data({}), data({"customer": "ann"}))
        assert [run.status for run in runs] == ["parked", "queued", "parked"]


async def test_an_expression_that_no_engine_reads_is_said_when_the_test_begins() -> None:
    app = collector(concurrency=Concurrency(1, "len(event.data)"))
    with pytest.raises(ConfigError, match="shop/collect, option 'concurrency': its key: there is no function len"):
        await TestEngine(app).__aenter__()
