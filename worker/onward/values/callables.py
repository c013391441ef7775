"""What a user's callable says about itself: its name, whether it is asynchronous, and what it returns."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import MethodType, SimpleNamespace
from typing import Any, Final
from weakref import WeakKeyDictionary

from onward.errors import ConfigError

UNTYPED: Final = object()
"""The return annotation of a callable that has none, or one that says nothing (`Any`, `object`)."""

_known: Final[WeakKeyDictionary[Any, Any]] = WeakKeyDictionary()


def name_of(fn: Callable[..., Any]) -> str:
    """Return the callable's own name."""
    return _path_of(fn).rpartition(".")[2]


def qualified_name(fn: Callable[..., Any]) -> str:
    """Return the name path inside its module, such as "Shop.charge"; the module itself is called differently when it is
    the main one.
    """
    return _path_of(fn)


def place_of(fn: Callable[..., Any]) -> str:
    """Return "file:line" of the definition; empty for callables without Python code."""
    code = getattr(inspect.unwrap(underlying(fn)), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling `fn` gives a coroutine, as far as its definition shows."""
    return inspect.iscoroutinefunction(underlying(fn))


def check_takes(owner: str, fn: Callable[..., Any], *arguments: str) -> None:
    """Raise `ConfigError` that names `owner` if `fn` cannot be called with these positional arguments."""
    try:
        inspect.signature(fn).bind(*arguments)
    except TypeError as error:
        call = f"({', '.join(arguments)})"
        raise ConfigError(
            f"{owner}: it cannot be called with {call}: {error}.", code="E0112", where=place_of(fn)
        ) from error


def underlying(fn: Any) -> Any:
    """Return the function (or class) behind partials, bound methods and objects with `__call__`."""
    while True:
        match fn:
            case partial():
                fn = fn.func
            case MethodType():
                fn = fn.__func__
            case _ if not inspect.isroutine(fn) and not isinstance(fn, type):
                fn = type(fn).__call__
            case _:
                return fn


def return_annotation(fn: Callable[..., Any], what: str) -> Any:
    """Return the resolved return annotation, of what is awaited if that is a coroutine; `UNTYPED` if there is none.

    Raises `ConfigError` that names `what` if a name in it is not defined (yet).
    """
    target = underlying(fn)
    if isinstance(target, type):
        return target
    if target in _known:
        return _known[target]
    annotation = _return_annotation(target, what)
    with suppress(TypeError):  # some of what is built in, such as `str.upper`, cannot be a weak key
        _known[target] = annotation
    return annotation


def _return_annotation(target: Any, what: str) -> Any:
    annotation = _raw_return(target)
    if not _is_final(annotation):
        annotation = _resolved(target, annotation, what)
    if typing.get_origin(annotation) in (Coroutine, Awaitable):
        annotation = typing.get_args(annotation)[-1]
    return UNTYPED if _says_nothing(annotation) else annotation


def _is_final(annotation: Any) -> bool:
    """Tell whether no forward reference can be inside, which spares most functions that are made on the fly a slow
    look.
    """
    return annotation is UNTYPED or (isinstance(annotation, type) and typing.get_origin(annotation) is None)


def _path_of(fn: Any) -> str:
    named = fn.func if isinstance(fn, partial) else fn
    return str(getattr(named, "__qualname__", type(named).__qualname__))


def _says_nothing(annotation: Any) -> bool:
    return annotation in (UNTYPED, Any, object) or isinstance(annotation, typing.TypeVar)


def _raw_return(target: Any) -> Any:
    if sys.version_info >= (3, 14):
        import annotationlib

        annotations: dict[str, Any] = annotationlib.get_annotations(target, format=annotationlib.Format.FORWARDREF)
    else:
        annotations = getattr(target, "__annotations__", {})
    return annotations.get("return", UNTYPED)


def _resolved(target: Any, annotation: Any, what: str) -> Any:
    """Evaluate one annotation alone: parameters may name what exists only while types are checked."""
    holder = SimpleNamespace(__annotations__={"return": annotation})
    definition = inspect.unwrap(target)
    try:
        hints = typing.get_type_hints(holder, definition.__globals__, _local_names(definition), include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigError(
            f"{what}: its return annotation {annotation!r} cannot be resolved: {error}.",
            code="E0106",
            where=place_of(target),
        ) from error
    resolved = hints["return"]
    return None if resolved in (typing.NoReturn, typing.Never) else resolved


def _local_names(definition: Any) -> dict[str, Any]:
    cells = dict(zip(definition.__code__.co_freevars, definition.__closure__ or (), strict=False))
    return {name: cell.cell_contents for name, cell in cells.items() if _is_filled(cell)}


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not UNTYPED
    except ValueError:  # a local class that is defined further down
        return False
