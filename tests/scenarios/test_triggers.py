"""What starts functions, in a test's own time: events of several types, prefixes, delays and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from onward import App, Context, Cron, EventType, SyncContext, Tick
from onward.testing import TestEngine

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@dataclass
class Order:
    id: str
    total: int = 0


@dataclass
class Import:
    path: str


Placed = EventType("shop/order.placed", Order)
Imported = EventType("shop/imported", Import)
Reminder = EventType("shop/reminder", Order)
Anything = EventType("shop/*", dict[str, Any])


def shop() -> App:
    app = App("shop")

    @app.on(Placed.when("event.data.total > 100") | Imported)
    async def take(ctx: Context[Order | Import]) -> str:
        match ctx.data:
            case Order(id, total):
                return f"{id} {total}"
            case Import(path):
                return path

    @app.on(Anything)
    async def log(ctx: Context[dict[str, Any]]) -> list[str]:
        return [ctx.event.name, *sorted(ctx.data)]

    return app


def results(engine: TestEngine, function: str) -> list[Any]:
    return [run.output for run in engine.runs if run.function.id == function]


async def test_each_event_comes_with_its_own_type() -> None:
    async with TestEngine(shop()) as engine:
        await engine.send(Placed(Order("o1", 200)), Imported(Import("/a")), Placed(Order("small", 1)))
        assert results(engine, "shop/take") == ["o1 200", "/a"]


async def test_a_prefix_gets_every_event_below_it() -> None:
    async with TestEngine(shop()) as engine:
        await engine.send(Placed(Order("o1")), Imported(Import("/a")), EventType("mail/sent", int)(1))
        assert results(engine, "shop/log") == [["shop/order.placed", "id", "total"], ["shop/imported", "path"]]


async def test_a_delayed_event_comes_in_when_it_is_due() -> None:
    async with TestEngine(shop(), now=NOON) as engine:
        await engine.send(
            Imported(Import("/late"), delay="2h"), Imported(Import("/early"), at=NOON + timedelta(hours=1))
        )
        assert engine.runs == []
        await engine.advance("1h")
        assert results(engine, "shop/take") == ["/early"]
        await engine.advance("1h")
        assert results(engine, "shop/take") == ["/early", "/late"]


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_run_sends_a_delayed_event_once(crash_everywhere: bool) -> None:
    app = App("shop")

    @app.on(Placed)
    async def remind(ctx: Context[Order]) -> str:
        (id,) = await ctx.send(Reminder(ctx.data, delay="1d"))
        reminder = await ctx.wait_for_event(Reminder, match="id")
        assert reminder is not None
        assert reminder.id == id
        return str(ctx.now() - NOON)

    async with TestEngine(app, now=NOON, crash_everywhere=crash_everywhere) as engine:
        (run,) = await engine.send(Placed(Order("o1")))
        await engine.advance("1d")
        assert run.output == "1 day, 0:00:00"


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_a_schedule_ticks_in_the_time_of_its_zone(crash_everywhere: bool) -> None:
    app = App("shop")

    @app.cron("0 3 * * *", tz="Europe/Berlin")
    async def nightly(ctx: Context[Tick]) -> tuple[str, str]:
        await ctx.sleep("1m")
        return str(ctx.data.at), str(ctx.data.previous)

    now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    async with TestEngine(app, now=now, crash_everywhere=crash_everywhere) as engine:
        await engine.advance("2d")
        assert results(engine, "shop/nightly") == [
            ("2026-03-29 03:00:00+02:00", "2026-03-28 03:00:00+01:00"),
            ("2026-03-30 03:00:00+02:00", "2026-03-29 03:00:00+02:00"),
        ]


async def test_a_plain_function_may_have_schedules_and_events() -> None:
    app = App("shop")

    @app.on(Cron("@hourly") | Cron("30 * * * *") | Imported)
    def work(ctx: SyncContext[Tick | Import]) -> str:
        return ctx.data.path if isinstance(ctx.data, Import) else f"{ctx.data.at:%H:%M}"

    async with TestEngine(app, now=NOON) as engine:
        await engine.advance("1h")
        await engine.send(Imported(Import("/a")))
        assert results(engine, "shop/work") == ["12:30", "13:00", "/a"]


async def test_the_handler_of_a_failed_tick_gets_the_tick() -> None:
    app = App("shop")
    seen: list[datetime] = []

    async def failed(ctx: Context[Tick], error: BaseException) -> None:
        seen.append(ctx.data.at)

    @app.cron("@hourly", on_failure=failed)
    async def work(ctx: Context[Tick]) -> None:
        raise ValueError("no")

    async with TestEngine(app, now=NOON) as engine:
        await engine.advance("1h")
        assert engine.runs[0].status == "failed"
        assert seen == [NOON + timedelta(hours=1)]


async def test_a_tick_waits_for_the_run_of_the_last_one_or_not() -> None:
    app = App("shop")

    @app.cron("@hourly", overlap="skip", id="skips")
    async def skips(ctx: Context[Tick]) -> None:
        await ctx.sleep("90m")

    @app.cron("@hourly", overlap="cancel", id="cancels")
    async def cancels(ctx: Context[Tick]) -> None:
        await ctx.sleep("90m")

    async with TestEngine(app, now=NOON) as engine:
        await engine.advance("4h")
        statuses = {id: [run.status for run in engine.runs if run.function.id == id] for id in app.functions}
        assert statuses["shop/skips"] == ["completed", "parked"]  # of one o'clock and of three
        assert statuses["shop/cancels"] == ["cancelled", "cancelled", "cancelled", "parked"]
