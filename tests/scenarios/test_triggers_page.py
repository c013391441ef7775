"""docs/triggers.md: its program does what the page says."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from onward.testing import TestEngine
from onward_engine.incoming import parse
from onward_engine.settings import Bounds

from tests.support.pages import Page

PAGE = Page("docs/triggers.md")
MONDAY = datetime(2026, 5, 4, tzinfo=UTC)


async def test_each_function_is_started_by_what_it_names() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions, now=MONDAY) as engine:
        await engine.send(page.OrderPlaced(page.Order("o1", 120)), page.OrderImported(page.Import("/a.csv")))
        outputs = [(run.function.id, run.output) for run in engine.runs if run.function.id != "shop/remind"]
    assert sorted(outputs) == [
        ("shop/audit", "shop/order.imported"),
        ("shop/audit", "shop/order.placed"),
        ("shop/check_stock", "file /a.csv"),
        ("shop/check_stock", "order o1"),
        ("shop/confirm", "thank you for o1"),
        ("shop/thank_warmly", 120),
    ]


async def test_a_small_order_starts_less() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions, now=MONDAY) as engine:
        await engine.send(page.OrderPlaced(page.Order("o2", 5)))
        assert {run.function.id for run in engine.runs} == {"shop/confirm", "shop/audit", "shop/remind"}


async def test_the_schedule_beside_the_events_ticks() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions, now=MONDAY) as engine:
        await engine.advance("5h")
        assert [run.output for run in engine.runs] == ["week of 04 May"]


async def test_reminders_come_in_when_they_are_due() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions, now=MONDAY) as engine:
        await engine.send(page.OrderPlaced(page.Order("o1", 5)))
        before = len(engine.runs)
        await engine.advance("7d")
        reminded = [run.output for run in engine.runs[before:] if run.function.id == "shop/audit"]
        assert reminded == ["shop/reminder"]


def test_the_request_on_the_page_is_one_and_its_limits_hold() -> None:
    (event,) = parse(PAGE.blocks("json")[0].encode(), Bounds().events_per_request_max)
    assert (event.id, msgspec.json.decode(event.data)) == ("order-o1", {"id": "o1", "total": 120})
    assert f"Up to {Bounds().events_per_request_max:,} events and {Bounds().request_bytes_max >> 20} MiB" in PAGE.text
