"""Traces and log fields: what really executed, in one trace, with the fields in every line."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from onward import App, ConfigError, Context, EventType, NonRetryable, Retry, StepFailed, SyncContext, step
from onward.middleware import OpenTelemetry, StructLog
from onward.sealing import send_through, sending_chain
from onward.testing import TestEngine
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Placed = EventType("shop/placed", int)
Shipped = EventType("shop/shipped", int)


@step
async def charge(amount: int) -> int:
    structlog.get_logger().info("charging", amount=amount)
    return amount


@step(retry=Retry(attempts=1))
async def decline() -> None:
    raise NonRetryable("declined")


def shop(*middleware: Any) -> App:
    app = App("shop", middleware=middleware)

    @app.on(Placed)
    async def place(ctx: Context[int]) -> int:
        total = await charge(ctx.data)
        structlog.get_logger().info("charged")
        await ctx.send(Shipped(total))
        return await charge(total)

    @app.on(Shipped)
    def ship(ctx: SyncContext[int]) -> int:
        structlog.get_logger().info("shipping")
        return ctx.data

    @app.function(int)
    async def declined(ctx: Context[int]) -> None:
        await decline()

    return app


class Traces:
    """What was exported, by the names of the spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    @property
    def ids(self) -> set[int]:
        return {span.context.trace_id for span in self.spans if span.context}


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


async def test_a_run_and_what_its_events_start_are_one_trace() -> None:
    traces = Traces()
    async with TestEngine(shop(OpenTelemetry(tracer_provider=traces.provider))) as engine:
        await engine.send(Placed(5))
    names = sorted(span.name for span in traces.spans)
    assert names == ["run shop/place", "run shop/ship", "send shop/shipped", "step charge", "step charge"]
    assert len(traces.ids) == 1
    [run], [sent], [shipped] = (traces.named(name) for name in ("run shop/place", "send shop/shipped", "run shop/ship"))
    assert {parent_of(span) for span in (*traces.named("step charge"), sent)} == {id_of(run)}
    assert parent_of(shipped) == id_of(sent)


async def test_after_crashes_a_run_is_still_one_trace_and_a_step_has_a_span_for_each_execution() -> None:
    traces = Traces()
    app = shop(OpenTelemetry(tracer_provider=traces.provider))
    async with TestEngine(app, crash_everywhere=True) as engine:
        [run] = await engine.send(Placed(5))
        assert run.output == 5
    stays = traces.named("run shop/place")
    assert [stay.attributes["onward.replayed"] for stay in stays if stay.attributes] == [False, True]
    assert len(traces.named("step charge")) == run.executions.total() == 2
    assert len(traces.ids) == 1


async def test_a_clients_trace_goes_on_in_the_run() -> None:
    traces = Traces()
    middleware = OpenTelemetry(tracer_provider=traces.provider)
    chain = sending_chain([middleware])
    assert chain is not None
    async with TestEngine(shop(middleware)) as engine:

        async def post(events: Any) -> Any:
            await engine.send(*events)
            return ()

        with traces.provider.get_tracer("web").start_as_current_span("request") as request:
            await send_through(chain, [Placed(1)], post)
    assert traces.ids == {request.get_span_context().trace_id}


async def test_what_fails_is_an_error_in_the_trace_and_a_run_that_only_leaves_is_none() -> None:
    traces = Traces()
    app = shop(OpenTelemetry(tracer_provider=traces.provider))

    @app.function(int)
    async def waiting(ctx: Context[int]) -> None:
        await ctx.sleep("1h")

    async with TestEngine(app) as engine:
        run = await engine.start(app.functions["shop/declined"], 1)
        assert isinstance(run.error, StepFailed)
        await engine.start(waiting, 1)
    [failed], [declined], [left] = (
        traces.named(name) for name in ("step decline", "run shop/declined", "run shop/waiting")
    )
    assert failed.status.description == "NonRetryable: declined"
    assert not declined.status.is_ok
    assert left.status.status_code is trace.StatusCode.UNSET
    assert left.attributes is not None
    assert left.attributes["onward.left"] is True


async def test_the_share_that_is_recorded_is_decided_by_the_run_so_that_all_workers_agree() -> None:
    traces = Traces()
    app = shop(OpenTelemetry(tracer_provider=traces.provider, ratio=0.5))
    async with TestEngine(app) as engine:
        for number in range(100):
            await engine.start(app.functions["shop/ship"], number)
    assert 25 < len(traces.spans) < 75
    with pytest.raises(ConfigError, match=r"a ratio of 2 is not between 0 and 1"):
        OpenTelemetry(ratio=2)


async def test_lines_that_are_logged_in_user_code_say_where() -> None:
    lines: list[dict[str, Any]] = []

    def keep(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if line["event"] in {"charging", "charged", "shipping", "outside"}:
            lines.append(dict(line))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        async with TestEngine(shop(StructLog())) as engine:
            [run] = await engine.send(Placed(5))
            structlog.get_logger().info("outside")
    finally:
        structlog.configure(**before)
    where = {"run": run.id, "function": "shop/place", "attempt": 1}
    assert lines[0] == {**where, "step": "charge", "step_attempt": 1, "amount": 5, "event": "charging"}
    assert lines[1] == {**where, "event": "charged"}
    assert next(line["function"] for line in lines if line["event"] == "shipping") == "shop/ship"
    assert lines[-1] == {"event": "outside"}
