"""Typed events: the name and the type of the data belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace
from onward_protocol import messages

from onward.durations import SLEEP_MS_MAX, Duration, duration_ms
from onward.errors import ConfigError, OnwardError
from onward.trigger import Source, Trigger
from onward.values.names import check_name, check_text
from onward.values.serde import check_type, encode_json, json_decoder_for

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

NO_META: Final[Mapping[str, str]] = {}


class Event(Struct, Generic[E_co], frozen=True):
    """Something that happened. Built by calling an `EventType`; the engine adds what is missing when it accepts the
    event.

    `id` makes sending twice harmless for 24 h. `ts_ms` is when it happened, 0 until the engine stamps it. With `at_ms`
    or `delay_ms` the engine lets it in later.
    """

    name: str
    data: E_co
    id: str = ""
    ts_ms: int = 0
    key: str = ""
    meta: Mapping[str, str] = NO_META
    at_ms: int = 0
    delay_ms: int = 0

    @property
    def ts(self) -> datetime:
        """When it happened, in UTC. Raises `OnwardError` for a new event that has not been given a time."""
        if not self.ts_ms:
            raise OnwardError(
                f"the event '{self.name}' has no time yet; the engine gives it one when it accepts it.", code="E0132"
            )
        return moment(self.ts_ms)


class EventType(Trigger[E]):
    """The name of an event and the type of its data. Calling it builds an `Event`.

    A name such as "shop/*" stands for all events whose names begin so: functions may be started by them. `a | b` in
    `App.on` starts a function by either, `a.when("event.data.total > 100")` only by those that this is true of.
    """

    def __init__(self, name: str, type: type[E]) -> None:
        check_name("EventType", name)
        if "*" in name[:-1]:
            raise ConfigError(f"EventType: in {name!r} a '*' stands elsewhere than at the end.", code="E0122")
        super().__init__(Source(name, type))
        self.name: Final = name
        self.type: Final[Any] = type

    def __call__(
        self,
        data: E,
        *,
        id: str = "",
        ts: datetime | None = None,
        key: str = "",
        meta: Mapping[str, str] = NO_META,
        at: datetime | None = None,
        delay: Duration | None = None,
    ) -> Event[E]:
        """Build an event. `ts` says when it happened; it comes in `at` a later moment, or after a `delay`, at most 366
        days from now. Moments need an offset, as in `datetime.now(UTC)`.
        """
        check_exact(f"EventType '{self.name}'", self.name)
        if at is not None and delay is not None:
            raise ConfigError(f"event '{self.name}' has both options 'at' and 'delay'.", code="E0105")
        delay_ms = 0 if delay is None else _delay_ms(self.name, delay)
        return Event(self.name, data, id, at_ms(ts) if ts else 0, key, meta, at_ms(at) if at else 0, delay_ms)

    def when(self, expression: str) -> Trigger[E]:
        """Return a trigger for those of the events that the expression is true of: `"event.data.total > 100"`."""
        return Trigger(Source(self.name, self.type, expression))

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
    """Return what a run sends for `event`, whose moment is settled. Raises `CodecError` naming the event."""
    check_exact("event", event.name)
    data = encode_json(event.data, f"data of event '{event.name}'")
    _check_texts(event)
    return messages.Draft(event.name, data, event.ts_ms, event.key, dict(event.meta), event.id, event.at_ms)


def _check_texts(event: Event[Any]) -> None:
    for option, texts in (("id", (event.id,)), ("key", (event.key,)), ("meta", (*event.meta, *event.meta.values()))):
        for text in texts:
            check_text(f"event '{event.name}', option '{option}'", text)


def check_events(owner: str, events: Iterable[object]) -> None:
    """Raise `ConfigError` naming `owner` if one of `events` is something else."""
    for event in events:
        if not isinstance(event, Event):
            raise ConfigError(f"{owner}: {event!r} is no event.", code="E0117")


def settled(event: Event[E], now_ms: int) -> Event[E]:
    """Return an event with the moment that its delay leads to."""
    return replace(event, at_ms=now_ms + event.delay_ms, delay_ms=0) if event.delay_ms else event


def check_exact(owner: str, name: str) -> None:
    """Raise `ConfigError` for a prefix where only the name of an event will do."""
    if name.endswith("*"):
        raise ConfigError(f"{owner}: {name!r} is a prefix and names no event.", code="E0122")


def _delay_ms(name: str, delay: Duration) -> int:
    try:
        ms = duration_ms(delay)
    except ValueError as error:
        raise ConfigError(f"event '{name}', option 'delay': {error}.", code="E0104") from error
    if ms > SLEEP_MS_MAX:
        raise ConfigError(f"event '{name}', option 'delay': {delay!r} is more than 366 days.", code="E0105")
    return ms


def _check_datetime(when: object) -> None:
    if not isinstance(when, datetime):
        raise ConfigError(f"{when!r} is no datetime with an offset.", code="E0116")


def moment(at_ms: int) -> datetime:
    """Return a moment in UTC from its milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def at_ms(when: datetime) -> int:
    """Return the milliseconds of a moment. Raises `ConfigError` without an offset, which would mean another time on
    each machine.
    """
    _check_datetime(when)
    if when.utcoffset() is None:
        raise ConfigError(f"the datetime {when.isoformat()} has no offset.", code="E0116")
    return round(when.timestamp() * 1000)
