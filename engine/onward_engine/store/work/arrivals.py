"""Events arrive at the functions that they trigger: each starts a run, joins one that there is, or is skipped.

keys -> idempotency -> gathering runs -> singleton, rate -> a new run, which may gather more events
"""

from __future__ import annotations

from onward_protocol.ids import derived_id
from onward_protocol.messages import Event, FunctionManifest

from ...model import Run
from ...rules import lifecycle
from ...rules.conditions import Subject
from ...rules.expressions import ExpressionError
from ...rules.flow.entry import NO_ENTRY, Entry, entry_of, has_entry
from ...rules.flow.gates import Skipped
from ...rules.triggers import Triggered
from ..port import Unclear
from . import gates, gathering, standing, starts
from .context import Work
from .standing import Standing


def arrive(work: Work, event: Event, triggered: Triggered) -> tuple[str, ...]:
    """Start everything that the event triggers, or have it join what goes on; the ids of runs that it starts are always
    the same for one event. It was stored as one that all these functions have a run of.

    A condition or a key that cannot be evaluated starts nothing, and harms neither the event nor its sender.
    """
    subject = Subject(event)
    runs = [_arrive(work, subject, function) for function in triggered.functions]
    work.notices.unclear += [Unclear(function.id, event.id, reason) for function, reason in triggered.unclear]
    return tuple(dict.fromkeys(run for run in runs if run))


def _arrive(work: Work, subject: Subject, function: FunctionManifest) -> str:
    try:
        return _enter(work, subject, function)
    except ExpressionError as error:
        event = subject.event
        work.notices.unclear.append(Unclear(function.id, event.id, str(error)))
        work.tables.release_event(event.id)
        return ""


def _enter(work: Work, subject: Subject, function: FunctionManifest) -> str:
    """Raise `ExpressionError`; then the event has started and joined nothing."""
    event = subject.event
    if not has_entry(function) and not standing.has_options(function):
        return starts.start(work, derived_id("run", event.id, function.id), function, event, place=Standing()).id
    document = subject.document
    entry = entry_of(function, document) if has_entry(function) else NO_ENTRY
    if entry.unclear:
        work.notices.unclear.append(Unclear(function.id, event.id, entry.unclear))
    run = _join(work, event, function, entry)
    return run or _begin(work, event, function, entry, standing.of(work, function, document))


def _join(work: Work, event: Event, function: FunctionManifest, entry: Entry) -> str:
    """Have an event join a run that others have started; empty if it is to start one. It is counted by no rate."""
    if first := gates.first_run(work, entry):
        work.tables.join_event(event.id, first)
        work.tables.release_event(event.id)
        return first
    run = gathering.join(work, function, event, entry.gathering) if entry.gathering else ""
    if run:
        gates.remember(work, function, entry, run)
    return run


def _begin(work: Work, event: Event, function: FunctionManifest, entry: Entry, place: Standing) -> str:
    id = derived_id("run", event.id, function.id)
    verdict = gates.judge(work, function, entry)
    if isinstance(verdict, Skipped):
        _skip(work, id, function, event, verdict.reason)
    else:
        gates.pass_on(work, function, entry, verdict, id)
        run = starts.start(work, id, function, event, place=place, is_gathering=bool(entry.gathering))
        if entry.gathering:
            gathering.begin(work, run, function, event, entry.gathering)
    return id


def _skip(work: Work, id: str, function: FunctionManifest, event: Event, reason: str) -> None:
    """Keep a run that does not begin, so that everybody sees why."""
    ord, size = work.tables.next_ord(), len(event.data)
    run = Run(id=id, function=function.id, ord=ord, events=(event.id,), state_bytes=size, created_at_ms=work.now_ms)
    work.tables.add_run(run)
    work.tables.end_run(lifecycle.skipped(run, reason, work.now_ms))
    work.notices.finished.append(id)
    work.count("skipped", run)
