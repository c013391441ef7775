"""Events as they come in over HTTP. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct, field
from onward_protocol.limits import Limits

from .rules.events import BadEvent, check_due
from .rules.events import check as check_sendable


class Incoming(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event. With an `id` of the sender's own a repeat is answered as the first time; `ts` is in milliseconds since
    the epoch. It comes in at `at_ms`, or `delay_ms` from now; in a year at the latest.
    """

    name: str
    data: Raw = field(default_factory=lambda: Raw(b"{}"))
    id: str = ""
    ts: int | None = None
    key: str = ""
    meta: dict[str, str] = {}
    at_ms: int | None = None
    delay_ms: int | None = None

    def due_at_ms(self, now_ms: int) -> int:
        """Return when it comes in; 0 for one that does so at once."""
        return self.at_ms or (now_ms + self.delay_ms if self.delay_ms else 0)


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


def check(event: Incoming, limits: Limits, now_ms: int) -> None:
    """Raise `BadEvent` if the engine must not take this event."""
    check_sendable(event, limits)
    _check_delay(event, now_ms)
    if event.ts is not None and not 0 <= event.ts < 1 << 53:
        raise BadEvent(f"The ts of event {event.name} is not a time in milliseconds.")


def _check_delay(event: Incoming, now_ms: int) -> None:
    if event.at_ms is not None and event.delay_ms is not None:
        raise BadEvent(f"Event {event.name} has both at_ms and delay_ms.")
    if (event.at_ms or 0) < 0 or (event.delay_ms or 0) < 0:
        raise BadEvent(f"The delay of event {event.name} is negative.")
    check_due(event.name, event.due_at_ms(now_ms), now_ms)
