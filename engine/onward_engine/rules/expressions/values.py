"""The values of expressions: those of JSON, and moments and spans of time."""

from __future__ import annotations

from typing import NoReturn, TypeAlias

from .errors import ExpressionError
from .times import Duration, Timestamp

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str | int, Value] | Timestamp | Duration | None"

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    list: "list",
    dict: "map",
    Timestamp: "timestamp",
    Duration: "duration",
}


def kind(value: Value) -> str:
    """Name the type of a value as users write it."""
    return _KINDS[type(value)]


def mismatch(what: str, at: int, *values: Value) -> NoReturn:
    """Raise the error for an operation that these types do not have."""
    raise ExpressionError(f"{what} does not work with {' and '.join(map(kind, values))}", at)
