"""How many places a limit has now."""

from __future__ import annotations

from msgspec.structs import replace
from onward_protocol.messages import FunctionManifest

from ...model import Flow
from ..triggers import Catalog
from .keys import CONCURRENCY, SINGLETON, THROTTLE, concurrency_option

RATE_LIMIT = "rate_limit"


def limit_now(catalog: Catalog, function: str, flow: Flow) -> int | None:
    """Return the limit in force for a run of this function; None without one.

    What was set by hand counts, then what the function says now; and if nobody offers it any more, what it said when
    the run was made.
    """
    manifest = catalog.functions.get(function)
    declared = flow.limit if manifest is None else declared_limit(manifest, flow.option)
    return None if declared is None else catalog.limits.get((function, flow.option), declared)


def declared_limit(function: FunctionManifest, option: str) -> int | None:
    """Return the number that an option of a function gives; None if the function does not have it."""
    if option == THROTTLE:
        return function.throttle.limit if function.throttle else None
    if option == SINGLETON:
        return 1 if function.singleton else None
    if option == RATE_LIMIT:
        return function.rate_limit.limit if function.rate_limit else None
    index = _index(option)
    return function.concurrency[index].limit if index is not None and index < len(function.concurrency) else None


def adjustable(function: FunctionManifest) -> dict[str, int]:
    """Return the limits of a function that may be set while it is registered: what its code says, by option."""
    found = {concurrency_option(index): limit.limit for index, limit in enumerate(function.concurrency)}
    if function.throttle:
        found[THROTTLE] = function.throttle.limit
    if function.rate_limit:
        found[RATE_LIMIT] = function.rate_limit.limit
    return found


def with_limit(function: FunctionManifest, option: str, limit: int) -> FunctionManifest:
    """Return a function as if its code gave another limit for one of its `adjustable` options."""
    if option == THROTTLE and function.throttle:
        return replace(function, throttle=replace(function.throttle, limit=limit))
    if option == RATE_LIMIT and function.rate_limit:
        return replace(function, rate_limit=replace(function.rate_limit, limit=limit))
    limits = list(function.concurrency)
    index = _index(option) or 0
    limits[index] = replace(limits[index], limit=limit)
    return replace(function, concurrency=tuple(limits))


def has_other_limits(before: FunctionManifest, now: FunctionManifest) -> bool:
    """Tell whether who waits for a limit of a function has to be looked at: its code says something new."""
    return _limits(before) != _limits(now)


def _limits(function: FunctionManifest) -> tuple[object, ...]:
    return function.concurrency, function.singleton, function.throttle


def _index(option: str) -> int | None:
    name, _, index = option.partition(":")
    return int(index) if name == CONCURRENCY and index.isascii() and index.isdecimal() and len(index) < 4 else None
