"""Typed events: the name and the type of the data belong together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast

from msgspec import Struct
from onward_protocol import messages

from onward.errors import ConfigError, OnwardError
from onward.values.names import check_name
from onward.values.serde import check_type, encode_json, json_decoder_for

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

NO_META: Final[Mapping[str, str]] = {}


class Event(Struct, Generic[E_co], frozen=True):
    """Something that happened. Built by calling an `EventType`; the engine adds what is missing when it accepts the
    event.

    `id` makes sending twice harmless for 24 h. `ts_ms` is when it happened, 0 until the engine stamps it.
    """

    name: str
    data: E_co
    id: str = ""
    ts_ms: int = 0
    key: str = ""
    meta: Mapping[str, str] = NO_META

    @property
    def ts(self) -> datetime:
        """When it happened, in UTC. Raises `OnwardError` for a new event that has not been given a time."""
        if not self.ts_ms:
            raise OnwardError(f"the event '{self.name}' has no time yet; the engine gives it one when it accepts it.")
        return moment(self.ts_ms)


class EventType(Generic[E]):
    """The name of an event and the type of its data. Calling it builds an `Event`."""

    def __init__(self, name: str, type: type[E]) -> None:
        check_name("EventType", name)
        self.name: Final = name
        self.type: Final[Any] = type

    def __call__(
        self, data: E, *, id: str = "", ts: datetime | None = None, key: str = "", meta: Mapping[str, str] = NO_META
    ) -> Event[E]:
        """Build an event. `ts` needs an offset, as in `datetime.now(UTC)`."""
        return Event(self.name, data, id, at_ms(ts) if ts else 0, key, meta)

    def __repr__(self) -> str:
        return f"EventType({self.name!r}, {getattr(self.type, '__name__', self.type)})"

    def check(self) -> None:
        """Raise `ConfigError` naming the event if its data cannot be kept."""
        check_type(self.type, f"data of event '{self.name}'")

    def received(self, event: messages.Event) -> Event[E]:
        """Return an accepted event with its data as this type. Raises `CodecError` if the data does not fit."""
        data = cast("E", json_decoder_for(self.type, f"data of event '{event.name}'")(event.data))
        return Event(event.name, data, event.id, event.ts_ms, event.key, event.meta)


def draft_of(event: Event[Any]) -> messages.Draft:
    """Return what a run sends for `event`. Raises `CodecError` naming the event."""
    data = encode_json(event.data, f"data of event '{event.name}'")
    return messages.Draft(event.name, data, event.ts_ms, event.key, dict(event.meta), event.id)


def moment(at_ms: int) -> datetime:
    """Return a moment in UTC from its milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def at_ms(when: datetime) -> int:
    """Return the milliseconds of a moment. Raises `ConfigError` without an offset, which would mean another time on
    each machine.
    """
    if when.utcoffset() is None:
        raise ConfigError(f"the datetime {when.isoformat()} has no offset.", code="E0116")
    return round(when.timestamp() * 1000)
