"""Events as they come in over HTTP. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct
from onward_protocol.limits import Limits

from .rules.events import BadEvent
from .rules.events import check as check_sendable


class Incoming(Struct, frozen=True, kw_only=True):
    """One event. With an `id` of the sender's own a repeat is answered as the first time; `ts` is in milliseconds since
    the epoch.
    """

    name: str
    data: Raw = Raw(b"{}")
    id: str = ""
    ts: int | None = None
    key: str = ""
    meta: dict[str, str] = {}


_decoder: msgspec.json.Decoder[Incoming | list[Incoming]] = msgspec.json.Decoder(Incoming | list[Incoming])


def parse(body: bytes, events_max: int) -> list[Incoming]:
    """Read one event, or a list of at most `events_max`. Raises `BadEvent`."""
    try:
        events = _decoder.decode(body)
    except RecursionError:
        raise BadEvent("The body is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise BadEvent(f"The body is not an event or a list of events: {error}.") from None
    if isinstance(events, Incoming):
        return [events]
    if len(events) > events_max:
        raise BadEvent(f"{len(events)} events in one request; {events_max} are allowed.", too_large=True)
    return events


def check(event: Incoming, limits: Limits) -> None:
    """Raise `BadEvent` if the engine must not take this event."""
    check_sendable(event, limits)
    if event.ts is not None and not 0 <= event.ts < 1 << 53:
        raise BadEvent(f"The ts of event {event.name} is not a time in milliseconds.")
