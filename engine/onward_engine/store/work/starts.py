"""New runs: by an event, by a call from outside, by another run, and after a failure."""

from __future__ import annotations

from onward_protocol.ids import derived_id
from onward_protocol.messages import Event, Failure, FunctionManifest

from ...model import Run
from ...rules import flow
from ...rules.triggers import Triggered
from ..port import Rejected, StartRun, Unclear
from . import offers
from .context import Work

_ON_FAILURE_KEY = "!on_failure"  # no step key begins with an exclamation mark


def start_run(work: Work, op: StartRun) -> str | Rejected:
    """Start a function without an event."""
    if work.tables.run(op.run) is not None:
        return op.run
    function = work.tables.catalog().functions.get(op.function)
    if function is None:
        return Rejected("unknown_function", unknown(op.function))
    _start(work, op.run, function, input=op.input)
    return op.run


def unknown(function: str) -> str:
    """Say that nobody offers a function."""
    return f"no worker has registered a function {function!r}"


def start_for_event(work: Work, event: Event, triggered: Triggered) -> tuple[str, ...]:
    """Start everything that the event triggers; the ids are always the same for one event.

    A condition that cannot be evaluated starts nothing, and harms neither the event nor its sender.
    """
    ids = tuple(derived_id("run", event.id, function.id) for function in triggered.functions)
    for id, function in zip(ids, triggered.functions, strict=True):
        _start(work, id, function, event=event)
    work.notices.unclear += [Unclear(function.id, event.id, reason) for function, reason in triggered.unclear]
    return ids


def start_child(work: Work, parent: Run, key: str, function: str, input: bytes, *, attached: bool) -> Run | None:
    """Start a run from within another one, once per key; None if nobody offers the function.

    An attached child reports to the wait of that key.
    """
    id = derived_id("run", parent.id, key)
    manifest = work.tables.catalog().functions.get(function)
    child = work.tables.run(id)
    if child is None and manifest is not None:
        _start(work, id, manifest, input=input, parent=parent.id, parent_key=key if attached else "")
        child = work.run(id)
    return child


def start_failure_handler(work: Work, run: Run, failure: Failure) -> None:
    """Start the function that handles failures of this one, on the same events or input.

    A handler's own failure starts nothing.
    """
    catalog = work.tables.catalog().functions
    function = catalog.get(run.function)
    handler = catalog.get(function.on_failure) if function else None
    whole = work.tables.full(run)
    if handler is None or whole.cause is not None:
        return
    id = derived_id("run", run.id, _ON_FAILURE_KEY)
    if work.tables.run(id) is not None:  # a caller chose this id: the run must be able to fail all the same
        return
    event = work.tables.event(whole.events[0]) if whole.events else None
    for kept in whole.events:
        work.tables.keep_event(kept)
    _start(work, id, handler, event, whole.input, parent=run.id, cause=failure, events=whole.events)


def _start(
    work: Work,
    id: str,
    function: FunctionManifest,
    event: Event | None = None,
    input: bytes = b"",
    *,
    events: tuple[str, ...] | None = None,
    parent: str = "",
    parent_key: str = "",
    cause: Failure | None = None,
) -> None:
    key, limit = flow.flow_of(function, event, input)
    run = Run(
        id=id,
        function=function.id,
        ord=work.tables.next_ord(),
        events=events if events is not None else ((event.id,) if event else ()),
        input=input,
        state_bytes=len(input) + (len(event.data) if event else 0),
        flow_key=key,
        flow_limit=limit,
        parent=parent,
        parent_key=parent_key,
        cause=cause,
        created_at_ms=work.now_ms,
    )
    work.tables.add_run(run)
    work.count("started", run)
    offers.offer(work, run, offers.NEW)
