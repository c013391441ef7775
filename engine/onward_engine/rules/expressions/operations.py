"""What the operators and functions do with values.

Types are never mixed silently: only comparisons take an int and a double. A number of an event may have more than 64
bits; it is compared exactly, and no arithmetic takes it any further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeAlias, cast

from .errors import ExpressionError
from .times import (
    NANOS,
    Duration,
    Timestamp,
    duration,
    read_duration,
    read_timestamp,
    timestamp,
    write_duration,
    write_timestamp,
)
from .values import INT_MAX, INT_MIN, Value, mismatch

Operation: TypeAlias = Callable[[Value, Value, int], Value]

_INTEGER = re.compile(r"\s*([+-]?)0*([0-9]{1,19})\s*", re.ASCII)
_DECIMAL = re.compile(
    r"\s*[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf|infinity|nan)\s*", re.ASCII | re.IGNORECASE
)
_TRUTHS = dict.fromkeys(("true", "True", "TRUE", "t", "1"), True) | dict.fromkeys(
    ("false", "False", "FALSE", "f", "0"), False
)


def equal(left: Value, right: Value) -> bool:
    """Tell whether two values are the same: numbers by their size, everything else only within its type."""
    if type(left) is not type(right):
        return _is_number(left) and _is_number(right) and left == right
    if isinstance(left, list):
        other = cast("list[Value]", right)
        return len(left) == len(other) and all(map(equal, left, other))
    if isinstance(left, dict):
        others = cast("dict[str | int, Value]", right)
        return len(left) == len(others) and all(key in others and equal(left[key], others[key]) for key in left)
    return left == right


def weight(value: Value) -> int:
    """Return how many steps it takes to walk through a value."""
    if isinstance(value, list):
        return 1 + sum(map(weight, value))
    if isinstance(value, dict):
        return 1 + sum(map(weight, value.values()))
    return 1


def less(left: Value, right: Value, at: int) -> bool:
    """Tell whether `left` comes before `right`."""
    return _ordered("<", left, right, at) and cast("int", left) < cast("int", right)


def less_or_equal(left: Value, right: Value, at: int) -> bool:
    """Tell whether `left` comes before `right` or equals it."""
    return _ordered("<=", left, right, at) and cast("int", left) <= cast("int", right)


def greater(left: Value, right: Value, at: int) -> bool:
    """Tell whether `left` comes behind `right`."""
    return _ordered(">", left, right, at) and cast("int", left) > cast("int", right)


def greater_or_equal(left: Value, right: Value, at: int) -> bool:
    """Tell whether `left` comes behind `right` or equals it."""
    return _ordered(">=", left, right, at) and cast("int", left) >= cast("int", right)


def add(left: Value, right: Value, at: int) -> Value:
    """Add numbers or spans of time, move a moment, join texts or lists."""
    if isinstance(left, Timestamp | Duration) and isinstance(right, Timestamp | Duration):
        return _add_times(left, right, at)
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    return _arithmetic("+", left, right, at)


def subtract(left: Value, right: Value, at: int) -> Value:
    """Subtract numbers, moments or spans of time."""
    if isinstance(left, Timestamp | Duration) and isinstance(right, Timestamp | Duration):
        return _subtract_times(left, right, at)
    return _arithmetic("-", left, right, at)


def multiply(left: Value, right: Value, at: int) -> Value:
    """Multiply numbers of one type."""
    return _arithmetic("*", left, right, at)


def divide(left: Value, right: Value, at: int) -> Value:
    """Divide numbers of one type; an int result is cut towards zero."""
    if type(left) is float and type(right) is float:
        return _divide_floats(left, right)
    if type(left) is not int or type(right) is not int:
        mismatch("/", at, left, right)
    quotient = abs(left) // abs(_divisor(right, at))
    return within(quotient if (left < 0) == (right < 0) else -quotient, at)


def remainder(left: Value, right: Value, at: int) -> Value:
    """Return what an int division leaves, with the sign of `left`."""
    if type(left) is not int or type(right) is not int:
        mismatch("%", at, left, right)
    rest = abs(left) % abs(_divisor(right, at))
    if left == INT_MIN and right == -1:
        raise ExpressionError("the result does not fit into 64 bits", at)
    return rest if left >= 0 else -rest


def negative(value: Value, at: int) -> Value:
    """Return a number with the other sign."""
    if type(value) is float:
        return -value
    return within(-value, at) if type(value) is int else mismatch("-", at, value)


def within(value: int, at: int) -> int:
    """Return an int that fits into 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("the result does not fit into 64 bits", at)


def size(value: Value, at: int) -> Value:
    """Count characters, items or keys."""
    return len(value) if isinstance(value, str | list | dict) else mismatch("size()", at, value)


def to_int(value: Value, at: int) -> Value:
    """Cut a double, read a text, count a bool, or the seconds of a moment."""
    match value:
        case bool() | int():
            return int(value)
        case float() if INT_MIN < value < INT_MAX:
            return int(value)
        case str() if (found := _INTEGER.fullmatch(value)) and INT_MIN <= int(found[1] + found[2]) <= INT_MAX:
            return int(found[1] + found[2])
        case Timestamp():
            return value.nanos // NANOS
        case _:
            return _unreadable("int()", value, at)


def to_double(value: Value, at: int) -> Value:
    """Convert an int, read a text."""
    match value:
        case float():
            return value
        case int() if not isinstance(value, bool) and INT_MIN <= value <= INT_MAX:
            return float(value)
        case str() if _DECIMAL.fullmatch(value):
            return float(value)
        case _:
            return _unreadable("double()", value, at)


def to_string(value: Value, at: int) -> Value:  # noqa: PLR0911 - a line for each type
    """Write a number, a bool or a time as text."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(within(value, at))
        case float():
            return _decimal(value)
        case Timestamp():
            return write_timestamp(value)
        case Duration():
            return write_duration(value)
        case _:
            return mismatch("string()", at, value)


def to_bool(value: Value, at: int) -> Value:
    """Read a text."""
    if isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    return value if isinstance(value, bool) else _unreadable("bool()", value, at)


def to_timestamp(value: Value, at: int) -> Value:
    """Read a text, or count seconds from 1970."""
    match value:
        case Timestamp():
            return value
        case int() if not isinstance(value, bool):
            return _time(timestamp, value * NANOS, at)
        case _:
            found = read_timestamp(value) if isinstance(value, str) else None
            return found or _unreadable("timestamp()", value, at)


def to_duration(value: Value, at: int) -> Value:
    """Read a text."""
    if isinstance(value, Duration):
        return value
    found = read_duration(value) if isinstance(value, str) else None
    return found or _unreadable("duration()", value, at)


def _is_number(value: Value) -> bool:
    return type(value) is int or type(value) is float


def _ordered(operator: str, left: Value, right: Value, at: int) -> bool:
    if type(left) is type(right) and isinstance(left, int | float | str | Timestamp | Duration):
        return True
    return True if _is_number(left) and _is_number(right) else mismatch(operator, at, left, right)


def _arithmetic(operator: str, left: Value, right: Value, at: int) -> Value:
    if type(left) is int and type(right) is int:
        return within(_computed(operator, left, right), at)
    if type(left) is float and type(right) is float:
        return _computed(operator, left, right)
    return mismatch(operator, at, left, right)


def _computed(operator: str, left: float, right: float) -> int:
    match operator:
        case "+":
            return cast("int", left + right)
        case "-":
            return cast("int", left - right)
        case _:
            return cast("int", left * right)


def _add_times(left: Timestamp | Duration, right: Timestamp | Duration, at: int) -> Value:
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        mismatch("+", at, left, right)
    both = isinstance(left, Duration) and isinstance(right, Duration)
    return _time(duration if both else timestamp, left.nanos + right.nanos, at)


def _subtract_times(left: Timestamp | Duration, right: Timestamp | Duration, at: int) -> Value:
    if isinstance(left, Duration) and isinstance(right, Timestamp):
        mismatch("-", at, left, right)
    return _time(duration if type(left) is type(right) else timestamp, left.nanos - right.nanos, at)


def _divide_floats(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _divisor(value: int, at: int) -> int:
    if value == 0:
        raise ExpressionError("a division by zero", at)
    return value


def _time(make: Callable[[int], Timestamp | Duration | None], nanos: int, at: int) -> Value:
    made = make(nanos)
    if made is None:
        raise ExpressionError("the time is out of range", at)
    return made


def _unreadable(what: str, value: Value, at: int) -> Value:
    if isinstance(value, str):
        raise ExpressionError(f"{what} cannot read {value[:50]!r}", at)
    if isinstance(value, float):
        raise ExpressionError(f"{what} cannot hold {value}", at)
    return mismatch(what, at, value)


def _decimal(value: float) -> str:
    """Write a double with as few digits as name it, and with an exponent from a million on."""
    if not math.isfinite(value):
        return str(value)
    mantissa, _, exponent = f"{value:.{len(_digits(value)) - 1}e}".partition("e")
    if -4 <= int(exponent) < 6:
        return _plain(value)
    return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"


def _digits(value: float) -> str:
    digits = repr(abs(value)).partition("e")[0].replace(".", "").strip("0")
    return digits or "0"


def _plain(value: float) -> str:
    text = repr(value)
    return text.removesuffix(".0")
