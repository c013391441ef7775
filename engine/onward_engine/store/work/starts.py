"""New runs: by a call from outside, by a schedule, by another run, and after a failure."""

from __future__ import annotations

from msgspec.structs import replace
from onward_protocol.ids import derived_id
from onward_protocol.messages import Event, Failure, FunctionManifest

from ...model import Run
from ...rules import waits
from ...rules.flow.gathering import size_of
from ...rules.flow.keys import document_of
from ...rules.forks import Past
from ..port import Rejected, Repeat, StartRun, Unclear
from ..tables import OpenWait
from . import marks, offers, standing, watches
from .context import Work
from .standing import Standing

_ON_FAILURE_KEY = "!on_failure"  # no step key begins with an exclamation mark


def start_run(work: Work, op: StartRun) -> str | Rejected:
    """Start a function without an event."""
    if work.tables.run(op.run) is not None:
        return op.run
    function = work.tables.catalog().functions.get(op.function)
    if function is None:
        return Rejected("unknown_function", unknown(op.function))
    start(work, op.run, function, input=op.input)
    return op.run


def unknown(function: str) -> str:
    """Say that nobody offers a function."""
    return f"no worker has registered a function {function!r}"


def not_its_own(run: Run) -> str:
    """Say that a run that was to be started is somebody else's."""
    return f"run {run.id} exists and was not started by this call"


def start_for_tick(work: Work, id: str, function: FunctionManifest, tick: Event) -> None:
    """Start a function for a tick of one of its schedules. The tick is an event that starts nothing else."""
    event = replace(tick, ord=work.tables.next_ord())
    if not work.tables.add_event(event, work.now_ms, 1):
        work.tables.keep_event(event.id)
    start(work, id, function, event)


def start_child(work: Work, parent: Run, key: str, function: str, input: bytes, *, attached: bool) -> Run | None:
    """Start a run from within another one, once per key; None if nobody offers the function.

    An attached child reports to the wait of that key.
    """
    id = derived_id("run", parent.id, key)
    manifest = work.tables.catalog().functions.get(function)
    child = work.tables.run(id)
    if child is None and manifest is not None:
        start(work, id, manifest, input=input, parent=parent.id, parent_key=key if attached else "")
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
    start(work, id, handler, event, whole.input, parent=run.id, cause=failure, events=whole.events)


def repeat(work: Work, op: Repeat) -> str | Rejected | None:
    """Start a run that begins like another one."""
    if work.tables.run(op.run) is not None:
        return op.run
    source = work.tables.run(op.source)
    if source is None:
        return None
    function = work.tables.catalog().functions.get(source.function)
    if function is None:
        return Rejected("unknown_function", unknown(source.function))
    whole = work.tables.full(source)
    events, input = (whole.events, whole.input) if op.input is None else ((), op.input)
    for event in events:
        work.tables.keep_event(event)
    first = work.tables.event(events[0]) if events else None
    run = start(work, op.run, function, first, input, events=events, cause=whole.cause, origin=source.id, past=op.past)
    for key, wait in op.past.open:
        work.tables.put_wait(OpenWait(run.ord, key, wait, waits.due_at_ms(wait, work.now_ms)))
    if op.past.tags:
        marks.tag(work, run, op.past.tags)
    return op.run


def start(
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
    origin: str = "",
    past: Past | None = None,
    place: Standing | None = None,
    is_gathering: bool = False,
) -> Run:
    """Make a run and queue it; one that is to gather events first is only made."""
    place = place or _standing(work, id, function, event, input)
    run = Run(
        id=id,
        function=function.id,
        ord=work.tables.next_ord(),
        events=events if events is not None else ((event.id,) if event else ()),
        input=input,
        state_bytes=len(input) + _size_of(work, event, events),
        flow=place.flow,
        parent=parent,
        parent_key=parent_key,
        cause=cause,
        created_at_ms=work.now_ms,
        origin=origin,
    )
    if past is None:
        work.tables.add_run(run)
    else:
        run = _add_with_past(work, run, past)
    work.count("started", run)
    if not is_gathering:
        watches.open_all(work, run, function, event)
        offers.offer(work, run, place.rank, fair_key=place.fair_key)
    return run


def _size_of(work: Work, event: Event | None, events: tuple[str, ...] | None) -> int:
    """Return how much of what a run may hold its events take."""
    if event is None:
        return 0
    others = (work.tables.event(id) for id in (events or ())[1:])
    return len(event.data) + sum(size_of(other) for other in others if other)


def _standing(work: Work, id: str, function: FunctionManifest, event: Event | None, input: bytes) -> Standing:
    """Return where a run stands that has to start, whatever its event looks like."""
    if not standing.has_options(function):
        return Standing()
    place, unclear = standing.anyhow(work, function, document_of(event, input))
    if unclear:
        work.notices.unclear.append(Unclear(function.id, event.id if event else "", unclear, id))
    return place


def _add_with_past(work: Work, run: Run, past: Past) -> Run:
    """Add a run whose journal is there already."""
    epoch, seq, _ = past.frames[-1] if past.frames else (0, 0, b"")
    count = len(past.entries)
    size = run.state_bytes + past.size
    whole = replace(run, epoch=epoch, seq=seq, pos=count, seen=count, origins=past.origins, steps=past.steps)
    work.tables.add_run(replace(whole, state_bytes=size))
    for epoch, seq, data in past.frames:
        run = replace(run, epoch=epoch, seq=seq, state_bytes=run.state_bytes + len(data))
        work.tables.add_frame(run, data)
    for pos, data in enumerate(past.entries, 1):
        run = replace(run, pos=pos, state_bytes=run.state_bytes + len(data))
        work.tables.add_entry(run, data)
    return replace(whole, state_bytes=size)
