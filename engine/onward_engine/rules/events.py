"""What an event may be, whoever sends it: what passes here harms nobody further in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import msgspec
from msgspec import Raw
from onward_protocol.ids import name_problem
from onward_protocol.limits import KIB, Limits

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DAY_MS = 24 * 60 * 60 * 1000
DELAY_MS_MAX = 366 * DAY_MS
META_MAX = 64
KEYS_MAX = 10_000

_any: msgspec.json.Decoder[Json] = msgspec.json.Decoder()


class BadEvent(Exception):
    """The sender's fault, in a sentence. `too_large` tells a limit from a mistake."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.too_large = too_large


class Sendable(Protocol):
    """What a sender says of an event."""

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> Raw | bytes: ...
    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def meta(self) -> Mapping[str, str]: ...


def check(event: Sendable, limits: Limits) -> None:
    """Raise `BadEvent` if the engine must not take this event."""
    if problem := name_problem(event.name, limits.name_bytes_max):
        raise BadEvent(f"The event's name {problem}.")
    if event.name.endswith("*"):
        raise BadEvent(f"{event.name!r} is a prefix and names no event.")
    for what, text in (("id", event.id), ("key", event.key)):
        if text and (problem := name_problem(text, limits.name_bytes_max)):
            raise BadEvent(f"The {what} of event {event.name} {problem}.")
    _check_meta(event, limits)
    size = len(event.data)
    if size > limits.event_bytes_max:
        allowed = limits.event_bytes_max // KIB
        raise BadEvent(f"Event {event.name} has {size} bytes of data; {allowed} KiB are allowed.", too_large=True)
    if problem := json_problem(event.data, limits.depth_max):
        raise BadEvent(f"The data of event {event.name} {problem}.")


def check_due(name: str, due_at_ms: int, now_ms: int) -> None:
    """Raise `BadEvent` if a delayed event would come in too late to be kept for so long."""
    if due_at_ms - now_ms > DELAY_MS_MAX:
        days = (due_at_ms - now_ms) // DAY_MS
        raise BadEvent(f"Event {name} is due in {days} days; {DELAY_MS_MAX // DAY_MS} are allowed.")


def json_problem(data: Raw | bytes, depth_max: int) -> str | None:
    """Say why `data` is not JSON that every reader can read, in words that continue "the data ..."; None if it is."""
    try:
        value = _any.decode(data)
    except RecursionError:
        return f"is nested deeper than {depth_max} levels"
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        return f"is not valid JSON: {error}"
    return _shape_problem(value, depth_max)


def _shape_problem(value: Json, depth_max: int) -> str | None:
    level = [value]
    for _ in range(depth_max):
        if any(isinstance(inner, dict) and len(inner) > KEYS_MAX for inner in level):
            return f"has an object with more than {KEYS_MAX} keys"
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return None
    return f"is nested deeper than {depth_max} levels"


def _containers(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    return [inner for inner in value if isinstance(inner, dict | list)] if isinstance(value, list) else []


def _check_meta(event: Sendable, limits: Limits) -> None:
    if len(event.meta) > META_MAX:
        raise BadEvent(f"Event {event.name} has {len(event.meta)} meta fields; {META_MAX} are allowed.")
    for name, text in event.meta.items():
        problem = name_problem(name, limits.name_bytes_max) or (text and name_problem(text, 4 * limits.name_bytes_max))
        if problem:
            raise BadEvent(f"The meta field {name!r} of event {event.name} {problem}.")
