"""Expressions of triggers and waits, over events as they are stored.

In a trigger `event` is the event at hand. In a wait `event` is the run's own one, and `async` the one that is waited
for.
"""

from __future__ import annotations

import math
from itertools import takewhile
from typing import TypeAlias, cast

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import Event, EventWait, Match

from .expressions import Expression, ExpressionError, Term, Value, condition, item
from .paths import INT64

Document: TypeAlias = dict[str | int, Value]

OWN = "event"
AWAITED = "async"
TRIGGER = (OWN,)
WAIT = (OWN, AWAITED)

OWN_BYTES_MAX = 64 * 1024
"""So much of the run's own event may be kept with a wait: every event that it looks at has it decoded."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError, TypeError)


class Subject:
    """An event as conditions see it, decoded when the first of them asks."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._document: Document | None = None

    @property
    def document(self) -> Document:
        """What stands for the event in an expression."""
        if self._document is None:
            self._document = _document(self.event)
        return self._document


def problem(where: str, variables: tuple[str, ...]) -> str | None:
    """Say why an expression is no condition; None if it is one."""
    try:
        condition(where, variables)
    except ExpressionError as error:
        return str(error)
    return None


def document_of_input(input: bytes) -> Document:
    """Return what stands for the event of a run that was started without one: its input is the data."""
    try:
        return {"data": msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(input)))}
    except _UNREADABLE:
        return {}


def bound(wait: EventWait, own: Document) -> EventWait:
    """Return a wait with what its expression needs of the run's own event: equalities by which it is found, and what
    else is read. Raises `ExpressionError`.
    """
    expression = condition(wait.where, WAIT)
    document = msgspec.json.encode(_read(expression, own))
    if len(document) > OWN_BYTES_MAX:
        message = f"it reads {len(document)} bytes of the run's own event, more than {OWN_BYTES_MAX}"
        raise ExpressionError(message, source=wait.where)
    matches = tuple(match for term in expression.terms if (match := _match(term, AWAITED, own)))
    return replace(wait, match=wait.match + matches, own=document)


def holds(wait: EventWait, awaited: Subject) -> bool:
    """Tell whether the expression of a bound wait is true of an event. Raises `ExpressionError`."""
    if not wait.where:
        return True
    own: Document = msgspec.json.decode(wait.own) if wait.own else {}
    return condition(wait.where, WAIT).holds(own, awaited.document)


def index_terms(expression: Expression) -> list[Match]:
    """Return the equalities with constants that the data of a trigger's event must satisfy."""
    return [match for term in expression.terms if (match := _match(term, OWN, {}))]


def _document(event: Event) -> Document:
    try:
        data: Value = msgspec.json.decode(event.data)
    except _UNREADABLE:
        data = None
    meta: Document = {key: text for key, text in event.meta.items()}  # noqa: C416 - another type
    return {"name": event.name, "data": data, "id": event.id, "ts": event.ts_ms, "key": event.key, "meta": meta}


def _match(term: Term, variable: str, own: Document) -> Match | None:
    """Return what an index can look up for a term about `variable`; None if it cannot."""
    if term.variable != variable:
        return None
    value = _at(own, ("data", *term.other_path)) if term.other else term.value
    keys = [str(key) for key in term.path]
    if not _is_indexed(value) or any(not key or "." in key for key in keys):
        return None
    if value is None and any(key.isdecimal() for key in keys):
        return (
            None  # a path takes "0" for a place in a list and for a key: both may be there where the other is asked for
        )
    return Match(".".join(keys), msgspec.json.encode(value))


def _is_indexed(value: Value) -> bool:
    """Tell whether a value has one text, whatever it is compared with: numbers beyond 64 bits have several."""
    if isinstance(value, float):
        return math.isfinite(value) and (not value.is_integer() or -INT64 <= value < INT64)
    if isinstance(value, int):
        return -INT64 <= value < INT64
    return value is None or isinstance(value, str)


def _read(expression: Expression, own: Document) -> Document:
    """Return as much of the run's own event as the expression reads."""
    chains = {_names(chain.keys) for chain in expression.reads if chain.name == OWN}
    found: Document = {}
    for keys in chains:
        if not any(keys[:size] in chains for size in range(len(keys))):
            _copy(own, found, keys)
    return found


def _names(keys: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys up to the first list, which is taken as a whole."""
    return tuple(key for key in takewhile(lambda key: isinstance(key, str), keys) if isinstance(key, str))


def _copy(source: Document, target: Document, keys: tuple[str, ...]) -> None:
    if not keys:
        target.update(source)
        return
    for key in keys[:-1]:
        inner = source.get(key)
        if not isinstance(inner, dict):
            return
        source, target = inner, cast("Document", target.setdefault(key, {}))
    if keys[-1] in source:
        target[keys[-1]] = source[keys[-1]]


def _at(value: Value, keys: tuple[str | int, ...]) -> Value:
    for key in keys:
        value = item(value, key)
    return value
