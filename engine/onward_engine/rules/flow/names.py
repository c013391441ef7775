"""What a flow key says, in words for people."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from onward_protocol.messages import FunctionManifest

from ..paths import canonical, index_key
from .keys import CONCURRENCY, SINGLETON, THROTTLE
from .limits import RATE_LIMIT

_SCOPES = {"*": "environment"}


class Named(Struct, frozen=True):
    """A limit's key taken apart: who shares it, the expression that tells its values apart, and the value; both empty
    if there is one for all.
    """

    scope: str
    expression: str = ""
    value: str = ""


def name_of(key: str, expression: str = "") -> Named:
    """Take a flow key apart. `expression` is what its option says now: one that it has had before is found at the first
    equals sign.
    """
    _, owner, rest = (*key.split(" ", 2), "")[:3]
    scope = _SCOPES.get(owner, "app" if owner.endswith("/") else "function")
    if not rest:
        return Named(scope)
    if expression and rest.startswith(f"{expression}="):
        return Named(scope, expression, _text(rest[len(expression) + 1 :]))
    before, _, value = rest.partition("=")
    return Named(scope, before, _text(value))


def has_value(key: str, value: str) -> bool:
    """Tell whether a flow key is that of a value, given as text."""
    text = index_key(canonical(msgspec.json.encode(value))).decode()
    return key.endswith((f"={text}", f"={value}"))


def expression_of(function: FunctionManifest | None, option: str) -> str:
    """Return the key of an option, as the function's code has it now."""
    if function is None:
        return ""
    name, _, index = option.partition(":")
    if name == CONCURRENCY:
        limits = function.concurrency
        return limits[int(index)].key if index.isdecimal() and int(index) < len(limits) else ""
    rule = {THROTTLE: function.throttle, SINGLETON: function.singleton, RATE_LIMIT: function.rate_limit}.get(name)
    return rule.key if rule else ""


def _text(value: str) -> str:
    """Texts are shown without their quotes, like the rest of what people read."""
    try:
        found: object = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return value
    return found if isinstance(found, str) else value
