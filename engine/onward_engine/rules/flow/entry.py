"""What an event means to the gates of a function that it triggers, as far as keys tell.

All of it is worked out before anything is done: an expression that cannot be evaluated on an event keeps that function
from being started, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from onward_protocol.messages import (
    BatchRule,
    DebounceRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    SingletonRule,
)

from ..conditions import TRIGGER, Document
from ..expressions import ExpressionError, condition
from .keys import SINGLETON, key_of

IDEMPOTENCY = "idempotency"
RATE = "rate"
DEBOUNCE = "debounce"
BATCH = "batch"
"""Kinds of items, as `SINGLETON`; the names of their owners begin with them."""

_OPTIONS = {RATE: "rate_limit"}

_Keyed = IdempotencyRule | SingletonRule | RateRule | DebounceRule | BatchRule


class Entry(Struct, frozen=True):
    """Who owns what a function keeps for events like this one; "" without the option.

    `gathering` is empty as well for an event that a batch does not want; `unclear` says why that could not be told.
    """

    idempotency: str = ""
    singleton: str = ""
    rate: str = ""
    gathering: str = ""
    unclear: str = ""

    def owners(self) -> Iterator[str]:
        """Return the owners of all items that are looked at."""
        return (owner for owner in (self.idempotency, self.singleton, self.rate, self.gathering) if owner)


NO_ENTRY = Entry()


def entry_of(function: FunctionManifest, document: Document) -> Entry:
    """Return what this event means to a function. Raises `ExpressionError`."""
    is_wanted, unclear = _is_wanted(function.batch, document)
    return Entry(
        _owner(IDEMPOTENCY, function, function.idempotency, document),
        _owner(SINGLETON, function, function.singleton, document),
        _owner(RATE, function, function.rate_limit, document),
        _gathering(function, document) if is_wanted else "",
        unclear,
    )


def has_entry(function: FunctionManifest) -> bool:
    """Tell whether it depends on earlier events what one does that triggers this function."""
    return bool(function.idempotency or function.singleton or function.rate_limit or gathering_rule(function))


def gathering_rule(function: FunctionManifest) -> DebounceRule | BatchRule | None:
    """Return how events become one run; None if each starts its own."""
    return function.debounce or function.batch


def kind_of(owner: str) -> str:
    """Return the kind of the item that has this owner."""
    return owner.partition(" ")[0]


def _gathering(function: FunctionManifest, document: Document) -> str:
    return _owner(DEBOUNCE if function.debounce else BATCH, function, gathering_rule(function), document)


def _owner(kind: str, function: FunctionManifest, rule: _Keyed | None, document: Document) -> str:
    if rule is None:
        return ""
    try:
        return key_of(kind, function, rule.key, document)
    except ExpressionError as error:
        message = f"option '{_OPTIONS.get(kind, kind)}', key: {error.message}"
        raise ExpressionError(message, error.at, error.source) from error


def _is_wanted(rule: BatchRule | None, document: Document) -> tuple[bool, str]:
    """A condition that cannot be evaluated is as good as a false one, but somebody hears of it."""
    if rule is None or not rule.when:
        return True, ""
    try:
        return condition(rule.when, TRIGGER).holds(document), ""
    except ExpressionError as error:
        return False, f"option 'batch', when: {error}"
