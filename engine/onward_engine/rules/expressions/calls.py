"""Closures for the functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from . import operations
from .errors import ExpressionError
from .frame import Evaluate, Frame, charge
from .limits import CHARS_PER_STEP
from .nodes import Call, Literal
from .patterns import Pattern, compile_pattern
from .values import Value, mismatch

_One: TypeAlias = Callable[[Value, int], Value]
_Two: TypeAlias = Callable[[str, str], bool]

_CONVERSIONS: dict[str, _One] = {
    "int": operations.to_int,
    "double": operations.to_double,
    "string": operations.to_string,
    "bool": operations.to_bool,
    "timestamp": operations.to_timestamp,
    "duration": operations.to_duration,
}
_TEXTS: dict[str, _Two] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_KNOWN = ", ".join(sorted({*_CONVERSIONS, *_TEXTS, "size", "matches", "has"}))


def call(node: Call, args: list[Evaluate]) -> Evaluate:
    """Return the closure of a call. Raises `ExpressionError` for a function that does not exist, or takes other
    arguments.
    """
    name, at = node.function, node.at
    if name == "size" or name in _CONVERSIONS:
        _expect(node, 1)
        return _one(_CONVERSIONS.get(name, operations.size), args[0], at)
    if name in _TEXTS:
        _expect(node, 2)
        return _two(name, args[0], args[1], at)
    if name == "matches":
        _expect(node, 2)
        return _matches(args[0], _pattern(node), at)
    raise ExpressionError(f"there is no function {name}; there are {_KNOWN}", at)


def _expect(node: Call, count: int) -> None:
    if len(node.args) != count:
        values = "one value" if count == 1 else f"{count} values"
        raise ExpressionError(f"{node.function}() takes {values}, not {len(node.args)}", node.at)


def _one(operation: _One, arg: Evaluate, at: int) -> Evaluate:
    return lambda frame: operation(arg(frame), at)


def _two(name: str, arg: Evaluate, other: Evaluate, at: int) -> Evaluate:
    test = _TEXTS[name]

    def compare(frame: Frame) -> Value:
        text, part = arg(frame), other(frame)
        if not isinstance(text, str) or not isinstance(part, str):
            mismatch(f"{name}()", at, text, part)
        charge(frame, len(text) // CHARS_PER_STEP, at)
        return test(text, part)

    return compare


def _pattern(node: Call) -> Pattern:
    pattern = node.args[1]
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        raise ExpressionError("the pattern of matches() must stand in the expression, as in matches(r'^a+$')", node.at)
    try:
        return compile_pattern(pattern.value)
    except ExpressionError as error:
        raise ExpressionError(error.message, pattern.at) from error


def _matches(arg: Evaluate, pattern: Pattern, at: int) -> Evaluate:
    def search(frame: Frame) -> Value:
        text = arg(frame)
        if not isinstance(text, str):
            mismatch("matches()", at, text, "")
        charge(frame, len(text) * pattern.weight // 4, at)
        return pattern.search(text)

    return search
