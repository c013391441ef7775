"""Waits: opened by a frame, ended once by what they wait for or by their time, and given up by the code.

Ending a wait writes the run's next engine entry, deletes the wait and wakes the run, all in the transaction of
whatever ended it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import (
    OPEN_MARK,
    Arrived,
    CallbackWait,
    Due,
    EngineEntry,
    Event,
    EventWait,
    Failed,
    Failure,
    Invoke,
    Returned,
    SignalWait,
    Sleep,
    TimedOut,
    Wait,
)

from ...model import Run, Status
from ...rules import conditions, lifecycle
from ...rules import waits as rules
from ...rules.conditions import Subject
from ...rules.expressions import ExpressionError
from ...rules.paths import find, index_key
from ...rules.watches import cancelling, is_reserved
from ..port import Unclear
from ..tables import OpenWait
from . import circles, mailbox, offers, starts
from .context import Work


def open_wait(work: Work, run: Run, key: str, wait: Wait) -> None:
    """Open a wait, or end it at once if what it waits for is already there.

    A worker that replays opens its waits again: one that is open keeps its time, and one whose end it has not seen
    yet stays ended.
    """
    if work.tables.wait(run.ord, key) or is_answered(work, run, key):
        return
    due_at_ms = rules.due_at_ms(wait, work.now_ms)
    match wait:
        case Sleep() if due_at_ms is not None and due_at_ms <= work.now_ms:
            _write(work, run, lambda pos: Due(pos, key, work.now_ms))
        case EventWait():
            _open_event_wait(work, run, OpenWait(run.ord, key, wait, due_at_ms), wait)
        case Invoke():
            _open_invoke(work, run, OpenWait(run.ord, key, wait, due_at_ms), wait)
        case SignalWait():
            _open_signal_wait(work, run, OpenWait(run.ord, key, wait, due_at_ms), wait)
        case CallbackWait():
            work.tables.put_wait(OpenWait(run.ord, key, wait, due_at_ms))
            answer(work, run, key + OPEN_MARK, (wait.token, wait.url))
        case Sleep():
            work.tables.put_wait(OpenWait(run.ord, key, wait, due_at_ms))


_CIRCLE = "its caller keeps the place that it needs"


def is_answered(work: Work, run: Run, key: str) -> bool:
    """Tell whether the run has an answer to this key that its worker has not seen yet."""
    return any(entry_key(entry) == key for entry in work.entries_after(run, run.seen))


def answer(work: Work, run: Run, key: str, value: object) -> None:
    """Answer what a run has asked with a value."""
    data = msgspec.msgpack.encode(value)
    _write(work, run, lambda pos: Returned(pos, key, data, work.now_ms))


def close_wait(work: Work, run: Run, key: str) -> None:
    """Drop a wait that the code gave up, and the child run that it waited for."""
    wait = work.tables.wait(run.ord, key)
    if wait is None:
        return
    work.tables.drop_wait(run.ord, key)
    if wait.child:
        work.abandon(wait.child, "its caller gave up waiting")


def close_all(work: Work, run: Run) -> None:
    """Drop everything that a run that is over still waited for."""
    for wait in work.tables.waits_of(run.ord):
        work.tables.drop_wait(run.ord, wait.key)
        if wait.child:
            work.abandon(wait.child, "its caller is over")


def resolve_for_event(work: Work, event: Event) -> None:
    """End every wait that this event matches; each is found by its first equality."""
    subject = Subject(event)
    for path in work.tables.wait_paths(event.name):
        value = index_key(find(event.data, path)) if path else b""
        for open_wait in work.tables.waits_at(event.name, path, value):
            if isinstance(open_wait.wait, EventWait) and _accepts(work, open_wait, open_wait.wait, subject):
                _arrive(work, open_wait, event)


def resolve_for_child(work: Work, child: Run) -> None:
    """Hand the end of a child run to the caller that waits for it."""
    parent = work.tables.run(child.parent) if child.parent_key else None
    wait = work.tables.wait(parent.ord, child.parent_key) if parent else None
    if wait and wait.child == child.id:
        resolve(work, wait, _end_of_child(work, child, wait.key))


def time_out(work: Work, wait: OpenWait) -> None:
    """End a wait whose time is over. A child that is no longer waited for is cancelled."""
    if isinstance(wait.wait, Sleep):
        resolve(work, wait, lambda pos: Due(pos, wait.key, work.now_ms))
    else:
        resolve(work, wait, lambda pos: TimedOut(pos, wait.key, work.now_ms))
    if wait.child:
        work.abandon(wait.child, "its caller waited long enough")


def resolve(work: Work, wait: OpenWait, make: Callable[[int], EngineEntry]) -> None:
    """End an open wait with an entry."""
    work.tables.drop_wait(wait.ord, wait.key)
    _write(work, work.tables.run_at(wait.ord), make)


def wake(work: Work, run: Run) -> None:
    """Bring a parked run back, to its holder first. A run in any other state has somebody who will look."""
    if run.status is Status.PARKED:
        offers.offer(work, work.put(lifecycle.readied(run)))


def entry_key(entry: EngineEntry) -> str | None:
    """Return the key of the wait that an entry ended."""
    return entry.key if isinstance(entry, Due | TimedOut | Arrived | Returned | Failed) else None


def refuse(work: Work, run: Run, key: str, type: str, message: str) -> None:
    """Answer what a step asked for with a failure."""
    failure = Failure(type, message)
    _write(work, run, lambda pos: Failed(pos, key, failure, work.now_ms))


def _open_event_wait(work: Work, run: Run, open_wait: OpenWait, wait: EventWait) -> None:
    if wait.where:
        try:
            wait = conditions.bound(wait, _own(work, run))
        except ExpressionError as error:
            refuse(work, run, open_wait.key, "InvalidExpression", f"option 'where': {error}")
            return
        open_wait = replace(open_wait, wait=wait)
    event = _look_back(work, open_wait, wait)
    if event:
        _arrive(work, open_wait, event)
    else:
        work.tables.put_wait(open_wait)


def _open_signal_wait(work: Work, run: Run, open_wait: OpenWait, wait: SignalWait) -> None:
    value = mailbox.take(work, run, wait.name)
    if value is None:
        work.tables.put_wait(open_wait)
    else:
        _write(work, run, lambda pos: Returned(pos, open_wait.key, value, work.now_ms))


def _look_back(work: Work, open_wait: OpenWait, wait: EventWait) -> Event | None:
    if wait.after is None:
        return None
    found = work.tables.events_after(wait.event, wait.after, work.now_ms - rules.LOOK_BACK_MS)
    return next((event for event in found if _accepts(work, open_wait, wait, Subject(event))), None)


def _accepts(work: Work, open_wait: OpenWait, wait: EventWait, subject: Subject) -> bool:
    """Tell whether an event ends a wait. An expression that cannot be evaluated on it is as good as a false one."""
    if not rules.accepts(wait, subject.event):
        return False
    try:
        return conditions.holds(wait, subject)
    except ExpressionError as error:
        run = work.tables.run_at(open_wait.ord)
        work.notices.unclear.append(Unclear(run.function, subject.event.id, str(error), run.id))
        return False


def _own(work: Work, run: Run) -> conditions.Document:
    whole = work.tables.full(run)
    event = work.tables.event(whole.events[0]) if whole.events else None
    return Subject(event).document if event else conditions.document_of_input(whole.input)


def _open_invoke(work: Work, run: Run, open_wait: OpenWait, wait: Invoke) -> None:
    child = starts.start_child(work, run, open_wait.key, wait.function, wait.input, attached=True)
    if child is None:
        refuse(work, run, open_wait.key, "UnknownFunction", starts.unknown(wait.function))
    elif child.status.is_terminal:
        _write(work, run, _end_of_child(work, work.tables.full(child), open_wait.key))
    elif (child.parent, child.parent_key) != (run.id, open_wait.key):
        refuse(work, run, open_wait.key, "RunExists", starts.not_its_own(child))
    elif flow := circles.own_circle(work, child):
        work.abandon(child.id, _CIRCLE)
        message = f"{wait.function} could never begin: its callers keep all {flow.limit} places of its option "
        refuse(work, run, open_wait.key, "WaitsForItself", f"{message}{flow.option.partition(':')[0]!r} until they end")
    else:
        work.tables.put_wait(replace(open_wait, wait=replace(wait, input=b""), child=child.id))


def _end_of_child(work: Work, child: Run, key: str) -> Callable[[int], EngineEntry]:
    if child.status is Status.COMPLETED:
        return lambda pos: Returned(pos, key, child.output, work.now_ms)
    failure = child.failure or Failure("RunCancelled", child.cancel_reason or "the run was cancelled")
    return lambda pos: Failed(pos, key, failure, work.now_ms)


def _arrive(work: Work, wait: OpenWait, event: Event) -> None:
    if is_reserved(wait.key):
        work.tables.drop_wait(wait.ord, wait.key)
        work.abandon(work.tables.run_at(wait.ord).id, cancelling(event))
        return
    resolve(work, wait, lambda pos: Arrived(pos, wait.key, event, work.now_ms))


def _write(work: Work, run: Run, make: Callable[[int], EngineEntry]) -> None:
    wake(work, work.write_entry(run, make))
