"""Payloads for people.

They are MessagePack that somebody's code made: decoded for people only, at most `bytes_max` of each, and what JSON
cannot say is said as text.
"""

from __future__ import annotations

import base64
import math
from typing import Any, cast

import msgspec

# The largest integer that every JSON reader keeps exact.
_INTEGER_MAX = 2**53


def payload_view(payload: bytes, bytes_max: int) -> Any:
    """Return MessagePack as something that JSON can say; a large or unreadable payload is named by its size."""
    if len(payload) > bytes_max:
        return f"({len(payload)} bytes: too large to show, ask for application/msgpack)"
    try:
        return plain(msgspec.msgpack.decode(payload, ext_hook=_extension))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError):
        return f"({len(payload)} bytes that are not MessagePack)"


def plain(value: object) -> Any:
    """Return the value with everything that JSON has no word for as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if _is_exact(value) else str(value)
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return {_key(key): plain(inner) for key, inner in fields.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in cast("list[object]", value)]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _is_exact(number: float) -> bool:
    return abs(number) <= _INTEGER_MAX if isinstance(number, int) else math.isfinite(number)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(plain(key))


def _extension(code: int, data: memoryview) -> str:
    return f"(extension {code}: {base64.b64encode(data).decode()})"
