"""Dotted paths into an event: how a match names a field."""

from __future__ import annotations

import re
from typing import Any, Final, TypeGuard

import msgspec

_PATH: Final = re.compile(r"\w+(?:\.\w+)*", re.ASCII)
_CHARS_MAX: Final = 256
_EXACT_INTEGER_MAX: Final = 2**53


def path_problem(path: str) -> str | None:
    """Say why `path` is not a path such as "customer.id", in words that continue "the path ..."; None if it is one."""
    if not _PATH.fullmatch(path):
        return f"{path!r} is not a dotted path"
    return f"is {len(path)} characters long; {_CHARS_MAX} are allowed" if len(path) > _CHARS_MAX else None


def value_at(data: Any, path: str) -> Any:
    """Return the value at `path` of decoded JSON, list items by their number; None where something is missing."""
    for part in path.split("."):
        data = _member(data, part)
    return data


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of all equal values: keys sorted, no spaces, 1 and 1.0 alike."""
    return msgspec.json.encode(_plain(value), order="sorted")


def _member(value: Any, part: str) -> Any:
    if _is_object(value):
        return value.get(part)
    if _is_array(value) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_INTEGER_MAX:
        return int(value)
    if _is_object(value):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if _is_array(value) else value


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
