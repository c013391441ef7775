"""What people see of the store: runs, steps and functions as JSON. The fields are a promise to whoever reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw, Struct
from msgspec.structs import asdict
from onward_protocol.messages import AppManifest, Event, Failure, FunctionManifest

from .model import Run, Status, StepView
from .payloads import payload_view
from .store.port import KeptEvent, StepPage


class Error(Struct, frozen=True):
    """What a step or a run failed with."""

    type: str
    message: str
    data: Any = None
    stack: str = ""


class RunLine(Struct, frozen=True, kw_only=True):
    """One run as a line of a list."""

    id: str
    function: str
    status: Status
    attempt: int
    strikes: int
    steps: int
    worker: str | None
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    tags: dict[str, str]
    origin: str | None
    version: str | None
    paused: bool


class RunView(RunLine, frozen=True, kw_only=True):
    """One run with its input, output and error. Payloads that are too large are named by their size."""

    events: tuple[str, ...]
    input: Any
    output: Any
    output_bytes: int
    error: Error | None
    cancel_reason: str | None
    skip_reason: str | None
    parent: str | None
    waiting_for: str | None
    progress: Any


class StepLine(Struct, frozen=True, kw_only=True):
    """One line of a run's history: a step, wait or timer and what became of it. `about` is the event, signal or
    function that is waited for.
    """

    key: str
    kind: str
    status: str
    attempts: int
    at_ms: int
    took_ms: int
    output: Any
    error: Error | None
    began_at_ms: int | None
    about: str | None


class StepList(Struct, frozen=True):
    """A part of a run's history; with a cursor there is more. Of lines with the same key the newest counts.

    `status` is that of the run before this was read; `end` is the cursor to go on from when there will be more.
    """

    steps: list[StepLine]
    cursor: str | None
    end: str
    status: Status


class EventLine(Struct, frozen=True, kw_only=True):
    """One event as a line of a list. `run_count` counts the runs that are still kept."""

    id: str
    name: str
    key: str
    ts_ms: int
    received_at_ms: int
    run_count: int


class EventView(Struct, frozen=True, kw_only=True):
    """One event with its data, and the newest runs that it started or joined, newest first."""

    id: str
    name: str
    key: str
    ts_ms: int
    meta: dict[str, str]
    data: Any
    data_bytes: int
    runs: list[RunLine]


class Limit(Struct, frozen=True):
    """How many runs may be at work at once, by key."""

    limit: int
    key: str


class FunctionLine(Struct, frozen=True, kw_only=True):
    """One function as a line of a list."""

    id: str
    app: str
    version: str
    triggers: list[str]
    concurrency: list[Limit]
    on_failure: str | None
    sync: bool
    paused: bool
    labels: dict[str, str]
    cancel_on: list[str]
    schedules: list[str]


class TriggerView(Struct, frozen=True):
    """An event that starts a function, and the condition on it."""

    event: str
    where: str


class CancelView(Struct, frozen=True):
    """An event that cancels runs of a function."""

    event: str
    match: tuple[str, ...]
    where: str
    timeout_ms: int | None


class TicksView(Struct, frozen=True):
    """When a function is started by the clock."""

    expression: str
    tz: str
    jitter_ms: int
    overlap: str
    catch_up: str


class Recent(Struct, frozen=True):
    """How many of the newest runs of a function are in which status."""

    runs: int
    by_status: dict[str, int]


class LimitChangeLine(Struct, frozen=True):
    """Somebody has set a limit, or has set it back to what the code says (null)."""

    at_ms: int
    by: str
    before: int | None
    after: int | None


class LimitLine(Struct, frozen=True, kw_only=True):
    """A limit that can be set: the one in force, what the code says (`declared`), what somebody has set (`override`;
    null: nobody has), and the newest changes of that, the newest first.
    """

    option: str
    limit: int
    declared: int
    override: int | None
    changes: list[LimitChangeLine]


class FunctionView(FunctionLine, frozen=True, kw_only=True):
    """One function with everything that its worker has registered, and how its newest runs do."""

    conditions: list[TriggerView]
    cancel_rules: list[CancelView]
    start_timeout_ms: int | None
    finish_timeout_ms: int | None
    ticks: list[TicksView]
    recent: Recent
    limits: list[LimitLine]
    options: dict[str, Any]


def run_line(run: Run) -> RunLine:
    """Return one run as a line of a list."""
    return RunLine(
        id=run.id,
        function=run.function,
        status=run.status,
        attempt=run.attempt,
        strikes=run.strikes,
        steps=run.steps,
        worker=run.holder or None,
        created_at_ms=run.created_at_ms,
        started_at_ms=run.started_at_ms or None,
        ended_at_ms=run.ended_at_ms or None,
        tags=run.tags,
        origin=run.origin or None,
        version=run.version or None,
        paused=run.is_paused,
    )


def run_view(run: Run, bytes_max: int, waiting_for: str | None = None, progress: bytes = b"") -> RunView:
    """Return one run with its input, output and error. `waiting_for` says what keeps it from being at work, `progress`
    is how far it has said that it is.
    """
    return RunView(
        **asdict(run_line(run)),
        events=run.events,
        input=payload_view(run.input, bytes_max) if run.input else None,
        output=payload_view(run.output, bytes_max) if run.output else None,
        output_bytes=len(run.output),
        error=error_view(run.failure, bytes_max),
        cancel_reason=None if run.status is Status.SKIPPED else run.cancel_reason,
        skip_reason=run.cancel_reason if run.status is Status.SKIPPED else None,
        parent=run.parent or None,
        waiting_for=waiting_for,
        progress=payload_view(progress, bytes_max) if progress else None,
    )


def steps_view(run: Run, page: StepPage, bytes_max: int) -> StepList:
    """Return a part of a run's history."""
    cursor = None if page.next is None else str(page.next)
    return StepList([step_line(step, bytes_max) for step in page.steps], cursor, str(page.end), run.status)


def step_line(step: StepView, bytes_max: int) -> StepLine:
    """Return one line of a run's history."""
    return StepLine(
        key=step.key,
        kind=step.kind,
        status=step.status,
        attempts=step.attempts,
        at_ms=step.at_ms,
        took_ms=step.took_ms,
        output=None if step.output is None else payload_view(step.output, bytes_max),
        error=error_view(step.failure, bytes_max),
        began_at_ms=step.began_at_ms or None,
        about=step.about or None,
    )


def event_line(kept: KeptEvent) -> EventLine:
    """Return one event as a line of a list."""
    event = kept.event
    return EventLine(
        id=event.id,
        name=event.name,
        key=event.key,
        ts_ms=event.ts_ms,
        received_at_ms=kept.received_at_ms,
        run_count=kept.runs,
    )


def event_view(event: Event, runs: Iterable[Run], bytes_max: int) -> EventView:
    """Return one event with its data, which is the JSON that was sent, and the runs that it started."""
    is_small = len(event.data) <= bytes_max
    return EventView(
        id=event.id,
        name=event.name,
        key=event.key,
        ts_ms=event.ts_ms,
        meta=event.meta,
        data=Raw(event.data) if is_small else f"({len(event.data)} bytes: too large to show)",
        data_bytes=len(event.data),
        runs=[run_line(run) for run in runs],
    )


def error_view(failure: Failure | None, bytes_max: int) -> Error | None:
    """Return an error as its type, message, data and stack."""
    if failure is None:
        return None
    data = payload_view(failure.data, bytes_max) if failure.data else None
    return Error(failure.type, failure.message, data, failure.stack)


def function_line(app: AppManifest, function: FunctionManifest, *, is_paused: bool) -> FunctionLine:
    """Return one function as a line of a list."""
    return FunctionLine(
        id=function.id,
        app=app.name,
        version=app.version,
        triggers=[trigger.event for trigger in function.triggers],
        concurrency=[Limit(limit.limit, limit.key) for limit in function.concurrency],
        on_failure=function.on_failure or None,
        sync=function.sync,
        paused=is_paused,
        labels=function.labels,
        cancel_on=[rule.event for rule in function.cancel_on],
        schedules=[schedule.expression for schedule in function.schedules],
    )


def options_of(function: FunctionManifest) -> dict[str, Any]:
    """Return what orders or restrains the queue of a function, as its code has it."""
    rules = {name: getattr(function, name) for name in _RULES if getattr(function, name)}
    told: dict[str, Any] = {name: asdict(rule) if isinstance(rule, Struct) else rule for name, rule in rules.items()}
    concurrency = [asdict(limit) for limit in function.concurrency]
    return {"concurrency": concurrency, **told} if concurrency else told


_RULES = ("throttle", "rate_limit", "debounce", "batch", "priority", "fair", "singleton", "idempotency")


def function_view(
    line: FunctionLine, function: FunctionManifest, newest: Sequence[Run], limits: list[LimitLine]
) -> FunctionView:
    """Return one function with its newest runs counted, and the limits that can be set."""
    return FunctionView(
        **{name: getattr(line, name) for name in FunctionLine.__struct_fields__},
        conditions=[TriggerView(one.event, one.where) for one in function.triggers],
        cancel_rules=[CancelView(one.event, one.match, one.where, one.timeout_ms) for one in function.cancel_on],
        start_timeout_ms=function.start_timeout_ms,
        finish_timeout_ms=function.finish_timeout_ms,
        ticks=[
            TicksView(one.expression, one.tz, one.jitter_ms, one.overlap, one.catch_up) for one in function.schedules
        ],
        recent=Recent(len(newest), dict(Counter(run.status.value for run in newest))),
        limits=limits,
        options=options_of(function),
    )
