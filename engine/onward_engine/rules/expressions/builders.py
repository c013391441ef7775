"""Closures that make values: lists, maps and the results of arithmetic."""

from __future__ import annotations

from . import operations
from .errors import ExpressionError
from .frame import Evaluate, Frame, charge
from .limits import CHARS_PER_STEP
from .values import Value, mismatch

_ARITHMETIC: dict[str, operations.Operation] = {
    "-": operations.subtract,
    "*": operations.multiply,
    "/": operations.divide,
    "%": operations.remainder,
}


def items(parts: list[Evaluate]) -> Evaluate:
    """Return `[a, b]`."""
    return lambda frame: [part(frame) for part in parts]


def pairs(parts: list[tuple[Evaluate, Evaluate]], at: int) -> Evaluate:
    """Return `{key: value}`."""

    def make(frame: Frame) -> Value:
        made: dict[str | int, Value] = {}
        for key_of, value_of in parts:
            key = key_of(frame)
            if type(key) is not str and type(key) is not int:
                mismatch("a key of a map", at, key)
            if key in made:
                raise ExpressionError(f"the map has the key {key!r} twice", at)
            made[key] = value_of(frame)
        return made

    return make


def addition(left: Evaluate, right: Evaluate, at: int) -> Evaluate:
    """Return `left + right`, which may make a long text or list."""

    def add(frame: Frame) -> Value:
        value, other = left(frame), right(frame)
        if isinstance(value, str) and isinstance(other, str):
            charge(frame, (len(value) + len(other)) // CHARS_PER_STEP, at)
        elif isinstance(value, list) and isinstance(other, list):
            charge(frame, len(value) + len(other), at)
        return operations.add(value, other, at)

    return add


def arithmetic(sign: str, left: Evaluate, right: Evaluate, at: int) -> Evaluate:
    """Return `left - right` and the like."""
    operation = _ARITHMETIC[sign]
    return lambda frame: operation(left(frame), right(frame), at)


def negative(of: Evaluate, at: int) -> Evaluate:
    """Return `-of`."""
    return lambda frame: operations.negative(of(frame), at)
