"""Traces of what really executes, for OpenTelemetry. Needs `pip install 'onward[otel]'`, and an SDK that exports."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

from msgspec.structs import replace
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from onward.errors import ConfigError, Evicted, RunCancelled
from onward.events import Event
from onward.middleware.base import Middleware, Next, RunInfo, SendNext, StepInfo

_SCOPE: Final = "onward"


class OpenTelemetry(Middleware):
    """One trace for each run: a span for each stay in a worker, and in it one for each attempt of a step that executes.
    A remembered step has no span.

    The trace continues that of whoever sent the event, in the run or elsewhere, by the W3C `traceparent` in the event's
    meta. A run without one has a trace of its own, decided by its id: all workers agree on it, and on whether it is
    among the share `ratio` of traces that are recorded.
    """

    def __init__(self, *, ratio: float = 1.0, tracer_provider: trace.TracerProvider | None = None) -> None:
        if not 0 <= ratio <= 1:
            raise ConfigError(f"OpenTelemetry: a ratio of {ratio} is not between 0 and 1.", code="E0105")
        self._ratio: Final = ratio
        self._tracer: Final = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        """Make a span of the run's stay here."""
        attributes: dict[str, str | int | bool] = {
            "onward.run": run.id,
            "onward.function": run.function,
            "onward.attempt": run.attempt,
            "onward.replayed": run.replayed,
            "onward.parent": run.parent,
        }
        with self._span(f"run {run.function}", attributes, self._parent(run), SpanKind.CONSUMER):
            return await next()

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        """Make a span of the attempt."""
        attributes: dict[str, str | int | bool] = {
            "onward.run": step.run.id,
            "onward.step": step.id,
            "onward.key": step.key,
            "onward.attempt": step.attempt,
        }
        with self._span(f"step {step.id}", attributes):
            return await next()

    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        """Send the events with the present trace in their meta."""
        carrier: dict[str, str] = {}
        with self._span(
            f"send {events[0].name}" if events else "send", {"onward.events": len(events)}, None, SpanKind.PRODUCER
        ):
            propagate.inject(carrier)
            return await next([replace(event, meta={**carrier, **event.meta}) for event in events])

    @contextmanager
    def _span(
        self,
        name: str,
        attributes: Mapping[str, str | int | bool],
        parent: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Generator[None]:
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _note_error(span, error)
                raise

    def _parent(self, run: RunInfo) -> Context:
        """Return the sender's trace, or the run's own."""
        sender = propagate.extract(dict(run.meta), Context())
        if trace.get_current_span(sender).get_span_context().is_valid:
            return sender
        return trace.set_span_in_context(NonRecordingSpan(_own_trace(run.id, self._ratio)), Context())


def _note_error(span: Span, error: BaseException) -> None:
    """A run that leaves has not failed: it goes on elsewhere."""
    if isinstance(error, Evicted):
        span.set_attribute("onward.left", True)
        return
    if not isinstance(error, RunCancelled):
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))


def _own_trace(run: str, ratio: float) -> SpanContext:
    digest = sha256(run.encode()).digest()
    is_recorded = int.from_bytes(digest[8:16], "big") < ratio * 2**64
    flags = TraceFlags(TraceFlags.SAMPLED if is_recorded else TraceFlags.DEFAULT)
    return SpanContext(int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big"), True, flags)
