"""What becomes of many events, and of many runs, of one function. Immutable values; `App.on` finds what is wrong.

    event -> idempotency -> debounce, batch -> singleton -> rate_limit -> priority, fair -> concurrency, throttle

A `key` is an expression over the event, such as "event.data.customer": each of its values is counted by itself. A run
that was started without an event has its input for `event.data`. Only the engine reads expressions, so what they mean
is found when the worker registers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

from msgspec import Struct
from onward_protocol import messages

from onward.config import check_kind
from onward.durations import Duration, duration_ms
from onward.errors import ConfigError
from onward.values.expressions import expression_problem, key_problem
from onward.values.names import check_text

Scope = Literal["function", "app", "environment"]
Share = Literal["step", "run"]
Deliver = Literal["last", "all"]
SingletonMode = Literal["skip", "cancel"]

SHIFT_S_MAX: Final = 600
URGENT: Final = "urgent"


class Concurrency(Struct, frozen=True):
    """At most `limit` runs at once, the others wait.

    A run that sleeps or waits gives its place back, unless the place is that `of` the "run": then it has it from its
    start to its end. Places are shared by the runs of this function, or with `scope` by all functions of the app or of
    the environment that have a limit of the same scope and key.
    """

    limit: int
    key: str = ""
    scope: Scope = "function"
    of: Share = "step"

    def rule(self, owner: str) -> messages.ConcurrencyLimit:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        _check_choice(owner, "scope", self.scope, get_args(Scope))
        _check_choice(owner, "of", self.of, get_args(Share))
        return messages.ConcurrencyLimit(_whole(owner, "limit", self.limit), _key(owner, self.key), self.scope, self.of)


class Throttle(Struct, frozen=True):
    """In a `period` start `limit` runs, evenly spread; the others wait. After a pause up to `burst` start at once."""

    limit: int
    period: Duration
    key: str = ""
    burst: int = 1

    def rule(self, owner: str) -> messages.ThrottleRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        limit, burst = _whole(owner, "limit", self.limit), _whole(owner, "burst", self.burst)
        return messages.ThrottleRule(limit, _ms(owner, "period", self.period), burst, _key(owner, self.key))


class RateLimit(Struct, frozen=True):
    """In any `period` at most `limit` events start a run; a run of the surplus is skipped, and listed as that."""

    limit: int
    period: Duration
    key: str = ""

    def rule(self, owner: str) -> messages.RateRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        limit, period_ms = _whole(owner, "limit", self.limit), _ms(owner, "period", self.period)
        return messages.RateRule(limit, period_ms, _key(owner, self.key))


class Debounce(Struct, frozen=True):
    """Events that come in quick succession become one run: it starts when no other came for a `period` of 1 s to 7 d,
    at the latest a `timeout` after the first. It gets the newest event by time, or "all" of them in `ctx.events`.
    """

    period: Duration
    key: str = ""
    timeout: Duration | None = None
    deliver: Deliver = "last"

    def rule(self, owner: str) -> messages.DebounceRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        _check_choice(owner, "deliver", self.deliver, get_args(Deliver))
        timeout_ms = None if self.timeout is None else _ms(owner, "timeout", self.timeout)
        return messages.DebounceRule(_ms(owner, "period", self.period), _key(owner, self.key), timeout_ms, self.deliver)


class Batch(Struct, frozen=True):
    """Events become one run, which has them in `ctx.events`: when there are `size` of them, at most 1,000, or a
    `timeout` after the first. An event for which the condition `when` is not true starts a run alone.
    """

    size: int
    timeout: Duration
    key: str = ""
    when: str = ""

    def rule(self, owner: str) -> messages.BatchRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        size, timeout_ms = _whole(owner, "size", self.size), _ms(owner, "timeout", self.timeout)
        return messages.BatchRule(size, timeout_ms, _key(owner, self.key), _expression(owner, "when", self.when))


class Priority(Struct, frozen=True):
    """Who starts first: a number of seconds, -600 to 600, by which a run goes ahead of those that came when it did, or
    "urgent": ahead of everything. Either for all runs, or an expression: "event.data.is_paid ? 60 : 0".
    """

    expr: str | float

    def rule(self, owner: str) -> str:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        if isinstance(self.expr, int | float):
            return _seconds(owner, self.expr)
        if self.expr == URGENT:
            return f'"{URGENT}"'
        return _expression(owner, "expression", self.expr, is_needed=True)


class Fair(Struct, frozen=True):
    """The values of `key` take turns, however many runs each of them has waiting: those of one tenant delay no other's.

    `weight` is an expression over the event too: a value of weight 2 has twice as many turns as one of weight 1.
    """

    key: str
    weight: str = ""

    def rule(self, owner: str) -> messages.FairRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        return messages.FairRule(_key(owner, self.key, is_needed=True), _expression(owner, "weight", self.weight))


class Singleton(Struct, frozen=True):
    """One run at a time. An event that comes meanwhile is skipped, or with the `mode` "cancel" takes over from the run.

    A skipped run is listed as that. With "cancel" the newcomer starts when the older one has cleaned up.
    """

    key: str = ""
    mode: SingletonMode = "skip"

    def rule(self, owner: str) -> messages.SingletonRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        _check_choice(owner, "mode", self.mode, get_args(SingletonMode))
        return messages.SingletonRule(_key(owner, self.key), self.mode)


class Idempotency(Struct, frozen=True):
    """Of all events with one value of `key`, only the first within `ttl` starts a run; the others join it."""

    key: str
    ttl: Duration = "24h"

    def rule(self, owner: str) -> messages.IdempotencyRule:
        """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
        return messages.IdempotencyRule(_key(owner, self.key, is_needed=True), _ms(owner, "ttl", self.ttl))


ConcurrencyOption = Concurrency | Sequence[Concurrency]
"""One limit, or two of different scope or key."""


def concurrency_rules(owner: str, option: ConcurrencyOption | None) -> tuple[messages.ConcurrencyLimit, ...]:
    """Return what the engine is told. Raises `ConfigError`, whose sentence begins with `owner`."""
    given: Any = option
    is_one = isinstance(given, str) or not hasattr(given, "__iter__")
    limits: tuple[Any, ...] = () if given is None else (given,) if is_one else tuple(given)
    for limit in limits:
        check_kind(owner, "concurrency", limit, Concurrency)
    return tuple(limit.rule(f"{owner}, option 'concurrency'") for limit in limits)


def _whole(owner: str, name: str, value: object) -> int:
    """Its bounds are the engine's as well: `onward_protocol.options` has them."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{owner}: its {name} is {value!r}, no whole number.", code="E0105")
    return value


def _ms(owner: str, name: str, value: Duration) -> int:
    try:
        return duration_ms(value)
    except ValueError as error:
        raise ConfigError(f"{owner}: its {name}: {error}.", code="E0104") from error


def _seconds(owner: str, value: float) -> str:
    if isinstance(value, bool) or not math.isfinite(value) or abs(value) > SHIFT_S_MAX:
        what = f"{value!r} is no number of seconds from -{SHIFT_S_MAX} to {SHIFT_S_MAX}"
        raise ConfigError(f"{owner}: {what}.", code="E0105")
    return str(value)


def _key(owner: str, key: str, *, is_needed: bool = False) -> str:
    check_text(f"{owner}, its key", key)
    if (key or is_needed) and (problem := key_problem(key)):
        raise ConfigError(f"{owner}: the key {problem}.", code="E0127")
    return key


def _expression(owner: str, name: str, source: str, *, is_needed: bool = False) -> str:
    check_text(f"{owner}, its {name}", source)
    if (source or is_needed) and (problem := expression_problem(source)):
        raise ConfigError(f"{owner}: the {name} {problem}.", code="E0127")
    return source


def _check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{owner}: its {name} is {value!r}, not {' or '.join(map(repr, choices))}.", code="E0105")
