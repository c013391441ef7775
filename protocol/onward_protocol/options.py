"""What the options of a function cannot be: checked where a function is declared, and again where it is registered.

Expressions are looked at elsewhere: only an engine can read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final, Literal

from msgspec import Struct

from .messages import FunctionManifest

DAY_MS: Final = 86_400_000

LIMIT_MAX: Final = 1_000_000
"""Of places, starts and events. Above it a limit limits nothing that one engine could do."""

LIMITS_MAX: Final = 2
"""Concurrency limits of one function: a run waits for all of them together."""

BATCH_SIZE_MAX: Final = 1_000
"""Events of one run. They travel together, and the run's code has all of them in its memory."""

PERIOD_MS_MAX: Final = 366 * DAY_MS
QUIET_MS_MIN, QUIET_MS_MAX = 1_000, 7 * DAY_MS
"""Of a debounce. Below a second, the way of an event is what is measured; a week is a schedule."""

EXCLUSIVE: Final = (
    *(("batch", other) for other in ("debounce", "rate_limit", "singleton", "priority", "idempotency")),
    ("debounce", "singleton"),
    ("priority", "fair"),
)
"""Two options that no function has together: each of them decides what becomes of the same events or runs."""

FOR_EVENTS: Final = ("rate_limit", "debounce", "batch", "singleton", "idempotency")
"""Options that say which events start a run. What is called always starts."""


class Problem(Struct, frozen=True):
    """Which option is wrong and why, in words that continue "option '...': "."""

    option: str
    what: str
    kind: Literal["value", "conflict", "no_event"] = "value"


def option_problem(function: FunctionManifest) -> Problem | None:
    """Return the first option of a function that cannot be kept, whatever its events are; None if all can."""
    return next(_problems(function), None)


def _problems(function: FunctionManifest) -> Iterator[Problem]:
    yield from _conflicts(function)
    yield from _concurrency(function)
    for option, name, value, low, high in _ranges(function):
        if not low <= value <= high:
            yield Problem(option, f"{name} is {value:,}, not {low:,} to {high:,}")
    for option in ("fair", "idempotency"):
        if (rule := getattr(function, option)) and not rule.key:
            yield Problem(option, "it needs a key")
    debounce = function.debounce
    if debounce and debounce.timeout_ms is not None and debounce.timeout_ms < debounce.period_ms:
        what = f"its timeout, {debounce.timeout_ms:,} ms, is shorter than its period, {debounce.period_ms:,} ms"
        yield Problem("debounce", what)


def _conflicts(function: FunctionManifest) -> Iterator[Problem]:
    for one, other in EXCLUSIVE:
        if getattr(function, one) and getattr(function, other):
            yield Problem(one, f"it cannot be combined with option '{other}'; keep one of the two", "conflict")
    if function.triggers:
        return
    for option in FOR_EVENTS:
        if getattr(function, option):
            yield Problem(option, "it is about events, and no event starts the function", "no_event")


def _concurrency(function: FunctionManifest) -> Iterator[Problem]:
    limits = function.concurrency
    if len(limits) > LIMITS_MAX:
        yield Problem("concurrency", f"there are {len(limits)} limits; {LIMITS_MAX} are possible")
    for one, other in combinations(limits, 2):
        if (one.scope, one.key) == (other.scope, other.key):
            what = f"two limits have the scope '{one.scope}' and the same key; keep the smaller one"
            yield Problem("concurrency", what, "conflict")


def _ranges(function: FunctionManifest) -> Iterator[tuple[str, str, int, int, int]]:
    for limit in function.concurrency:
        yield "concurrency", "its limit", limit.limit, 1, LIMIT_MAX
    if throttle := function.throttle:
        yield "throttle", "its limit", throttle.limit, 1, LIMIT_MAX
        yield "throttle", "its period in ms", throttle.period_ms, 1, PERIOD_MS_MAX
        yield "throttle", "its burst", throttle.burst, 1, LIMIT_MAX
    if rate := function.rate_limit:
        yield "rate_limit", "its limit", rate.limit, 1, LIMIT_MAX
        yield "rate_limit", "its period in ms", rate.period_ms, 1, PERIOD_MS_MAX
    if debounce := function.debounce:
        yield "debounce", "its period in ms", debounce.period_ms, QUIET_MS_MIN, QUIET_MS_MAX
        yield "debounce", "its timeout in ms", debounce.timeout_ms or QUIET_MS_MIN, QUIET_MS_MIN, PERIOD_MS_MAX
    if batch := function.batch:
        yield "batch", "its size", batch.size, 1, BATCH_SIZE_MAX
        yield "batch", "its timeout in ms", batch.timeout_ms, 1, PERIOD_MS_MAX
    if idempotency := function.idempotency:
        yield "idempotency", "its ttl in ms", idempotency.ttl_ms, 1, PERIOD_MS_MAX
