"""Whole programs in the test engine: the real engine and worker in memory, with virtual time and with a crash after
everything durable.
"""

from decimal import Decimal
from importlib.metadata import entry_points

import pytest
from onward import NonRetryable
from onward.testing import TestEngine

from tests.typing import program_1 as shop
from tests.typing import program_2 as crawler


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_the_order_program_runs_each_step_body_once(crash_everywhere: bool) -> None:
    async with TestEngine(shop.functions, crash_everywhere=crash_everywhere) as engine:
        order = shop.Order("o1", "ann", Decimal("9.90"))
        [run] = await engine.send(shop.OrderPlaced(order))
        await engine.advance("10m")
        await engine.send(shop.OrderConfirmed(order))
        assert run.output == "INV-o1 9.90 1"
        assert [key.partition("@")[0] for key in run.executed] == ["reserve", "charge", "ship", "email", "track"]
        assert set(run.executions.values()) == {1}
        assert (engine.crashes > 5) == crash_everywhere


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_an_unconfirmed_order_fails_after_a_day_and_is_refunded_once(crash_everywhere: bool) -> None:
    async with TestEngine(shop.functions, crash_everywhere=crash_everywhere) as engine:
        [late] = await engine.send(shop.OrderPlaced(shop.Order("o2", "bob", Decimal(1))))
        await engine.advance("25h")
        assert late.status == "failed"
        assert isinstance(late.error, NonRetryable)
        handlers = [run for run in engine.runs if run.function.id == "shop/process_order!failure"]
        assert [run.status for run in handlers] == ["completed"]


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_the_crawler_program_fetches_in_threads_and_repeats_only_what_was_in_flight(
    crash_everywhere: bool,
) -> None:
    async with TestEngine(crawler.functions, crash_everywhere=crash_everywhere) as engine:
        urls = [f"https://example.org/{n}" for n in range(6)]
        [run] = await engine.send(crawler.BatchReceived(crawler.Batch("b1", urls)))
        assert run.status == "parked"
        await engine.advance("30s")
        assert run.output == 20 * len(urls)
        assert len(run.executions) == len(urls) + 1
        in_flight = len(urls) - 1  # beside the page whose end the crash follows
        assert run.executions.total() <= len(urls) + 1 + in_flight * engine.crashes


@pytest.mark.onward(app=shop.functions)
async def test_the_fixture_starts_what_the_marker_names(onward_engine: TestEngine) -> None:
    [run] = await onward_engine.send(shop.OrderPlaced(shop.Order("o3", "eve", Decimal(3))))
    assert run.status == "parked"


def test_pytest_finds_the_plugin_with_the_fixture_by_itself() -> None:
    [plugin] = entry_points(group="pytest11", name="onward")
    assert plugin.load().onward_engine
