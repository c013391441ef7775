"""Events that are not due yet, as items: they come in when their moment has come."""

from __future__ import annotations

import msgspec
from onward_protocol.messages import Event

from ..model import Item

KIND = "event"
OWNER = ""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[Event, str]).decode


def item_of(event: Event, due_at_ms: int, sent_id: str) -> Item:
    """Return what is kept of an event, by its id. `sent_id` is the one that its sender chose; empty: none."""
    return Item(KIND, OWNER, event.id, due_at_ms, _pack((event, sent_id)))


def event_of(item: Item) -> Event:
    """Return the event that was kept."""
    return _unpack(item.body)[0]


def sent_id_of(item: Item) -> str:
    """Return the id that its sender chose; empty if it chose none."""
    return _unpack(item.body)[1]
