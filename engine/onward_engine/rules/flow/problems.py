"""What the flow control of a function cannot be, said when its worker registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onward_protocol.messages import FunctionManifest
from onward_protocol.options import option_problem

from ..conditions import TRIGGER
from ..conditions import problem as condition_problem
from ..expressions import Expression, ExpressionError, Value, expression
from .ranks import SHIFT_S_MAX, WEIGHT_MAX, WEIGHT_MIN

_Judge = Callable[[Value], str | None]


def problem(function: FunctionManifest) -> str | None:
    """Say which option of a function cannot be kept, and why; None if all can."""
    if found := option_problem(function):
        return _sentence(function, found.option, found.what)
    for option, source in _keys(function):
        if source and (said := _key_problem(source)):
            return _sentence(function, option, f"its key: {said}")
    for option, name, source, judge in _values(function):
        if source and (said := _value_problem(source, judge)):
            return _sentence(function, option, f"{name}: {said}")
    when = function.batch.when if function.batch else ""
    if when and (said := condition_problem(when, TRIGGER)):
        return _sentence(function, "batch", f"its 'when': {said}")
    return None


def _sentence(function: FunctionManifest, option: str, what: str) -> str:
    return f"{function.id}, option '{option}': {what}"


def _keys(function: FunctionManifest) -> Iterator[tuple[str, str]]:
    for limit in function.concurrency:
        yield "concurrency", limit.key
    for option in ("throttle", "rate_limit", "debounce", "batch", "fair", "singleton", "idempotency"):
        if rule := getattr(function, option):
            yield option, rule.key


def _values(function: FunctionManifest) -> Iterator[tuple[str, str, str, _Judge]]:
    yield "priority", "its expression", function.priority, _priority_problem
    if function.fair:
        yield "fair", "its weight", function.fair.weight, _weight_problem


def _key_problem(source: str) -> str | None:
    """A key that is the same for every event is a mistake: who wants that has none."""
    found = _read(source)
    if isinstance(found, str):
        return found
    return None if found.reads else f"the expression {source!r} reads nothing of the event"


def _value_problem(source: str, judge: _Judge) -> str | None:
    """What reads nothing of the event gives the same for all of them, and so can be judged now."""
    found = _read(source)
    if isinstance(found, str):
        return found
    if found.reads:
        return None
    try:
        return judge(found.value({}))
    except ExpressionError as error:
        return str(error)


def _read(source: str) -> Expression | str:
    try:
        return expression(source, TRIGGER)
    except ExpressionError as error:
        return str(error)


def _priority_problem(value: Value) -> str | None:
    if value == "urgent" or _is_between(value, -SHIFT_S_MAX, SHIFT_S_MAX):
        return None
    return f'{value!r} is neither a number of seconds from -{SHIFT_S_MAX} to {SHIFT_S_MAX} nor "urgent"'


def _weight_problem(value: Value) -> str | None:
    if _is_between(value, WEIGHT_MIN, WEIGHT_MAX):
        return None
    return f"{value!r} is no weight from {WEIGHT_MIN:g} to {WEIGHT_MAX:g}"


def _is_between(value: Value, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
