"""Closures for comparisons. The ones that conditions are made of, a field against a constant, have closures of their
own: they take a third of the time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TypeAlias, cast

from . import operations
from .frame import Evaluate, Frame, charge
from .values import Value, mismatch

_Compare: TypeAlias = Callable[[float, float], bool]

_ORDERS: dict[str, tuple[_Compare, operations.Operation]] = {
    "<": (operator.lt, operations.less),
    "<=": (operator.le, operations.less_or_equal),
    ">": (operator.gt, operations.greater),
    ">=": (operator.ge, operations.greater_or_equal),
}


def equality(left: Evaluate, right: Evaluate, *, wanted: bool, at: int) -> Evaluate:
    """Return `left == right`, or `!=` if False is wanted."""

    def compare(frame: Frame) -> Value:
        value, other = left(frame), right(frame)
        if isinstance(value, list | dict):
            charge(frame, operations.weight(value), at)
        return operations.equal(value, other) is wanted

    return compare


def equality_with(left: Evaluate, literal: Value, *, wanted: bool) -> Evaluate:
    """Return the same for a constant that is no list and no map."""
    if type(literal) is int or type(literal) is float:

        def compare_number(frame: Frame) -> Value:
            value = left(frame)
            return ((type(value) is int or type(value) is float) and value == literal) is wanted

        return compare_number
    kind = type(literal)

    def compare(frame: Frame) -> Value:
        value = left(frame)
        return (type(value) is kind and value == literal) is wanted

    return compare


def order(sign: str, left: Evaluate, right: Evaluate, at: int) -> Evaluate:
    """Return `left < right` and the like."""
    _, compare = _ORDERS[sign]
    return lambda frame: compare(left(frame), right(frame), at)


def order_with(sign: str, left: Evaluate, literal: float, at: int) -> Evaluate:
    """Return the same for a constant number."""
    compare, _ = _ORDERS[sign]

    def compare_number(frame: Frame) -> Value:
        value = left(frame)
        if type(value) is int or type(value) is float:
            return compare(value, literal)
        return mismatch(sign, at, value, literal)

    return compare_number


def is_in(left: Evaluate, right: Evaluate, at: int) -> Evaluate:
    """Return `left in right`."""

    def contains(frame: Frame) -> Value:
        value, container = left(frame), right(frame)
        if isinstance(container, list):
            charge(frame, operations.weight(container), at)
            return any(operations.equal(value, item) for item in container)
        if isinstance(container, dict) and isinstance(value, str | int | float):
            return type(value) is not bool and value in container
        return mismatch("in", at, value, container)

    return contains


def is_one_of(left: Evaluate, texts: list[Value]) -> Evaluate:
    """Return the same for a constant list of texts."""
    known = frozenset(cast("list[str]", texts))

    def contains(frame: Frame) -> Value:
        value = left(frame)
        return type(value) is str and value in known

    return contains
