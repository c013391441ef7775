"""The reference implementation of CEL, to compare our expressions with.

Where ours is meant to differ, and how that is taken into account:

* What a field or an index does not find is null; CEL has an error. Each expression therefore comes in two spellings.
  If CEL has an error for the plain one, the guarded one counts, which reads through `found` below.
* An int and a double are compared exactly; CEL's C++ implementation rounds the int. No int beyond 2**53 meets a double.
* The keys of a map come in the order of its text; in CEL in none.
* A leap second is no moment. `\\B` stands between two characters; in RE2 also between the bytes of one.
* Unsigned numbers, bytes, `type`, `dyn`, keys of maps that are bools, and patterns that are computed do not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

from cel_expr_python import cel  # type: ignore[import-untyped] # its types come without the marker that mypy asks for
from onward_engine.rules.expressions import ExpressionError, Value, expression
from onward_engine.rules.expressions.times import Duration, Timestamp

VARIABLES = ("event", "async")

Outcome: TypeAlias = tuple[str, Any]
"""The name of a type and the value, or "error"."""

ERROR: Outcome = ("error", None)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DYN = cel.Type.DYN


class Source(NamedTuple):
    """An expression in plain spelling, and with guarded access to what may not be there."""

    plain: str
    guarded: str


def ours(source: str, *events: Value) -> Outcome:
    """Return what this engine makes of an expression. A text that it cannot read raises `ExpressionError`."""
    compiled = expression(source, VARIABLES)
    try:
        return _outcome(compiled.value(*events))
    except ExpressionError:
        return ERROR


def theirs(source: Source, *events: Value) -> Outcome:
    """Return what CEL makes of it."""
    outcome = _evaluated(source.plain, events)
    return _evaluated(source.guarded, events) if outcome == ERROR else outcome


def agree(ours: Outcome, theirs: Outcome) -> bool:
    """Tell whether the outcomes are the same. Only ours keeps the keys of a map in the order of its text."""
    if ours[0] == theirs[0] == "list" and ours != theirs:
        return sorted(map(repr, ours[1])) == sorted(map(repr, theirs[1]))
    return ours == theirs


def quoted(text: str) -> str:
    """Return a text as an expression spells it."""
    return "'" + "".join(f"\\U{ord(char):08x}" for char in text) + "'"


def compiles(source: str) -> bool:
    """Tell whether CEL can read a text."""
    try:
        _environment().compile(source, disable_check=True)
    except RuntimeError:
        return False
    return True


def found(of: Value, key: Value) -> Value:
    """Return what stands at a key; null if there is nothing, whatever the reason."""
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(of, dict):
        return of.get(key) if type(key) is str or type(key) is int else None
    return of[key] if isinstance(of, list) and type(key) is int and 0 <= key < len(of) else None


def is_there(of: Value, key: str) -> bool:
    """Tell whether a map has a key; nothing else has one."""
    return isinstance(of, dict) and key in of


@cache
def _environment() -> Any:
    functions = [_function("found", found), _function("is_there", is_there)]
    return cel.NewEnv(variables=dict.fromkeys(VARIABLES, _DYN), extensions=[cel.CelExtension("ours", functions)])


def _function(name: str, call: Callable[[Any, Any], Any]) -> Any:
    return cel.FunctionDecl(name, [cel.Overload(id=name, return_type=_DYN, parameters=[_DYN, _DYN], impl=call)])


def _evaluated(source: str, events: Sequence[Value]) -> Outcome:
    compiled = _environment().compile(source, disable_check=True)
    result = compiled.eval(data=dict(zip(VARIABLES, events, strict=True)))
    return ERROR if result.type() == cel.Type.ERROR else _outcome(result.plain_value())


def _outcome(value: Any) -> Outcome:
    match value:
        case Timestamp():
            return "timestamp", value.nanos // 1000
        case Duration():
            return "duration", value.nanos // 1000
        case datetime():
            return "timestamp", (value - _EPOCH) // timedelta(microseconds=1)
        case timedelta():
            return "duration", value // timedelta(microseconds=1)
        case float() if math.isnan(value):
            return "double", "nan"
        case list():
            return "list", [_outcome(item) for item in cast("list[Value]", value)]
        case dict():
            items = sorted(cast("dict[str | int, Value]", value).items(), key=str)
            return "map", {key: _outcome(item) for key, item in items}
        case _:
            return type(value).__name__, value
