"""Events come in: each is stored, starts what it triggers and ends the waits that it matches, once."""

from __future__ import annotations

from hashlib import blake2b

from onward_protocol.ids import derived_id
from onward_protocol.messages import Draft, Event

from ...model import Item, Run
from .. import delayed
from ..port import Accepted, DropEvent, Ingest, NewEvent, Rejected
from ..tables import Remembered
from . import arrivals, waits
from .context import Work

REMEMBERED_MS = 24 * 60 * 60 * 1000
"""A sender that repeats an event id within a day gets the first answer."""

_UNNAMED = b""  # instead of a hash: the sender chose no id, so that it repeats nothing


def ingest(work: Work, op: Ingest) -> tuple[Accepted, ...] | Rejected:
    """Accept all events of a request, or none of them if one uses an id that stands for something else."""
    for new in op.events:
        if not _is_text(new.event):
            return Rejected("invalid_event", f"event {new.event.id!a} holds text that is not valid Unicode")
    work.tables.expect_sent([new.event.id for new in op.events if new.dedup])
    bodies = [_body(new.event) if new.dedup else _UNNAMED for new in op.events]
    conflicts = _conflicts(work, op.events, bodies)
    if conflicts:
        return tuple(Accepted(new.event.id, conflict=new.event.id in conflicts) for new in op.events)
    pairs = zip(op.events, bodies, strict=True)
    return tuple([_accept(work, new.event, body, due_at_ms=new.due_at_ms) for new, body in pairs])


def send(work: Work, run: Run, key: str, drafts: tuple[Draft, ...]) -> None:
    """Accept what a step sent.

    Its ids are derived, so that a resent frame sends nothing twice; nothing of it is ever refused.
    """
    for index, draft in enumerate(drafts):
        id = draft.id or derived_id("evt", run.id, key, index)
        ts_ms = draft.ts_ms or max(draft.due_at_ms, work.now_ms)
        event = Event(id, draft.name, draft.data, ts_ms, 0, draft.key, draft.meta)
        _accept(work, event, _body(event) if draft.id else _UNNAMED, due_at_ms=draft.due_at_ms)


def release(work: Work, item: Item) -> None:
    """Let a delayed event in, now that it is due."""
    work.tables.drop_item(item.kind, item.owner, item.name)
    _admit(work, delayed.event_of(item))


def drop_event(work: Work, op: DropEvent) -> bool:
    """Forget a delayed event, and the answer to whoever sent it."""
    item = work.tables.item(delayed.KIND, delayed.OWNER, op.event)
    if item is None:
        return False
    work.tables.drop_item(item.kind, item.owner, item.name)
    id = delayed.sent_id_of(item)
    first = _remembered(work, id) if id else None
    if first is not None:
        work.tables.remember(id, Remembered(first.body, first.answer, work.now_ms))
    return True


def _accept(work: Work, event: Event, body: bytes, *, due_at_ms: int) -> Accepted:
    if body == _UNNAMED:
        return _take_in(work, event, due_at_ms)
    first = _remembered(work, event.id)
    if first is not None:
        return Accepted(first.answer.id, first.answer.runs, duplicate=True, due_at_ms=first.answer.due_at_ms)
    answer = _take_in(work, _renamed(work, event), due_at_ms, event.id)
    expires_at_ms = max(work.now_ms, answer.due_at_ms) + REMEMBERED_MS
    work.tables.remember(event.id, Remembered(body, answer, expires_at_ms))
    return answer


def _take_in(work: Work, event: Event, due_at_ms: int, sent_id: str = "") -> Accepted:
    """Admit an event, or keep it until it is due; a second one of the same id changes nothing."""
    if due_at_ms <= work.now_ms:
        return _admit(work, event)
    item = work.tables.item(delayed.KIND, delayed.OWNER, event.id)
    if item is not None:
        return Accepted(event.id, duplicate=True, due_at_ms=item.due_at_ms or 0)
    if work.tables.event(event.id) is not None:
        return Accepted(event.id, _started(work, event), duplicate=True)
    work.tables.put_item(delayed.item_of(event, due_at_ms, sent_id))
    return Accepted(event.id, due_at_ms=due_at_ms)


def _admit(work: Work, event: Event) -> Accepted:
    event = Event(event.id, event.name, event.data, event.ts_ms, work.tables.next_ord(), event.key, event.meta)
    triggered = work.tables.catalog().triggered(event)
    if not work.tables.add_event(event, work.now_ms, len(triggered.functions)):
        return Accepted(event.id, _started(work, event), duplicate=True)
    waits.resolve_for_event(work, event)  # before it starts anything: no run is cancelled by its own event
    runs = arrivals.arrive(work, event, triggered)
    return Accepted(event.id, runs)


def _started(work: Work, event: Event) -> tuple[str, ...]:
    """Return the runs that an event has started, and those that it has joined."""
    ids = (derived_id("run", event.id, function.id) for function in work.tables.catalog().starts(event.name))
    return (*(id for id in ids if work.tables.run(id)), *work.tables.joined(event.id))


def _renamed(work: Work, event: Event) -> Event:
    """Give an event an id of its own if its sender's id was used long ago: runs and events are named for ever."""
    if work.tables.event(event.id) is None:
        return event
    id = derived_id("evt", event.id, str(work.now_ms))
    return Event(id, event.name, event.data, event.ts_ms, 0, event.key, event.meta)


def _conflicts(work: Work, events: tuple[NewEvent, ...], bodies: list[bytes]) -> set[str]:
    """Return the ids that stand for something else, or for several things in one request."""
    firsts: dict[str, bytes] = {}
    conflicts: set[str] = set()
    for new, body in zip(events, bodies, strict=True):
        if body != _UNNAMED:
            id = new.event.id
            first = _remembered(work, id)
            if firsts.setdefault(id, first.body if first else body) != body:
                conflicts.add(id)
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
