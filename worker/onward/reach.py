"""The steps and event types that a function names in its code, so that they can be checked before it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from onward.events import EventType
from onward.step import AsyncStep, SyncStep
from onward.values.callables import underlying

Named = AsyncStep[..., Any] | SyncStep[..., Any] | EventType[Any]


def named_in(fn: Callable[..., Any]) -> list[Named]:
    """Return what `fn` names as a global, an attribute of a module or a variable around it. What is made at run time is
    not seen.
    """
    definition = inspect.unwrap(underlying(fn))
    code = getattr(definition, "__code__", None)
    if code is None:
        return []
    values = [*_globals(definition.__globals__, _names(code)), *_closed_over(definition)]
    return [value for value in values if isinstance(value, AsyncStep | SyncStep | EventType)]


def _names(code: CodeType) -> set[str]:
    """Return every global and attribute name in the code, lambdas and inner functions included."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _globals(namespace: dict[str, Any], names: set[str]) -> Iterator[Any]:
    for name in sorted(names & namespace.keys()):
        value = namespace[name]
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value)[attribute] for attribute in sorted(names & vars(value).keys()))


def _closed_over(definition: Any) -> Iterator[Any]:
    for cell in definition.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a variable that is assigned further down
            continue
