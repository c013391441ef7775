"""Events come in: each is stored, starts what it triggers and ends the waits that it matches, once."""

from __future__ import annotations

from hashlib import blake2b

from onward_protocol.ids import derived_id
from onward_protocol.messages import Draft, Event

from ...model import Run
from ..port import Accepted, Ingest, NewEvent, Rejected
from ..tables import Remembered
from . import starts, waits
from .context import Work

REMEMBERED_MS = 24 * 60 * 60 * 1000
"""A sender that repeats an event id within a day gets the first answer."""


def ingest(work: Work, op: Ingest) -> tuple[Accepted, ...] | Rejected:
    """Accept all events of a request, or none of them if one uses an id that stands for something else."""
    for new in op.events:
        if not _is_text(new.event):
            return Rejected("invalid_event", f"event {new.event.id!a} holds text that is not valid Unicode")
    conflicts = _conflicts(work, op.events)
    if conflicts:
        return tuple(Accepted(new.event.id, conflict=new.event.id in conflicts) for new in op.events)
    return tuple(_accept(work, new.event, dedup=new.dedup) for new in op.events)


def send(work: Work, run: Run, key: str, drafts: tuple[Draft, ...]) -> None:
    """Accept what a step sent.

    Its ids are derived, so that a resent frame sends nothing twice; nothing of it is ever refused.
    """
    for index, draft in enumerate(drafts):
        id = draft.id or derived_id("evt", run.id, key, index)
        event = Event(id, draft.name, draft.data, draft.ts_ms or work.now_ms, 0, draft.key, draft.meta)
        _accept(work, event, dedup=bool(draft.id))


def _accept(work: Work, event: Event, *, dedup: bool) -> Accepted:
    if not dedup:
        return _admit(work, event)
    first = _remembered(work, event.id)
    if first is not None:
        return Accepted(first.answer.id, first.answer.runs, duplicate=True)
    answer = _admit(work, _renamed(work, event))
    work.tables.remember(event.id, Remembered(_body(event), answer, work.now_ms + REMEMBERED_MS))
    return answer


def _admit(work: Work, event: Event) -> Accepted:
    event = Event(event.id, event.name, event.data, event.ts_ms, work.tables.next_ord(), event.key, event.meta)
    triggered = work.tables.catalog().triggered(event)
    if not work.tables.add_event(event, work.now_ms, len(triggered.functions)):
        return Accepted(event.id, _started(work, event), duplicate=True)
    runs = starts.start_for_event(work, event, triggered)
    waits.resolve_for_event(work, event)
    return Accepted(event.id, runs)


def _started(work: Work, event: Event) -> tuple[str, ...]:
    ids = (derived_id("run", event.id, function.id) for function in work.tables.catalog().starts(event.name))
    return tuple(id for id in ids if work.tables.run(id))


def _renamed(work: Work, event: Event) -> Event:
    """Give an event an id of its own if its sender's id was used long ago: runs and events are named for ever."""
    if work.tables.event(event.id) is None:
        return event
    id = derived_id("evt", event.id, str(work.now_ms))
    return Event(id, event.name, event.data, event.ts_ms, 0, event.key, event.meta)


def _conflicts(work: Work, events: tuple[NewEvent, ...]) -> set[str]:
    bodies: dict[str, bytes] = {}
    conflicts: set[str] = set()
    for new in events:
        if new.dedup:
            first = _remembered(work, new.event.id)
            body = bodies.setdefault(new.event.id, first.body if first else _body(new.event))
            if body != _body(new.event):
                conflicts.add(new.event.id)
    return conflicts


def _remembered(work: Work, event: str) -> Remembered | None:
    found = work.tables.remembered(event)
    return found if found and found.expires_at_ms > work.now_ms else None


def _body(event: Event) -> bytes:
    """Hash what makes two requests the same: time and metadata may differ when a request is repeated."""
    parts = (event.name.encode(), event.key.encode(), event.data)
    return blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=16).digest()


def _is_text(event: Event) -> bool:
    try:
        "".join((event.id, event.name, event.key, *event.meta, *event.meta.values())).encode()
    except UnicodeEncodeError:
        return False
    return True
