"""Values that configure functions and steps. Immutable; a wrong one raises `ConfigError` where it is written."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from onward.durations import DAY_MS, SLEEP_MS_MAX, Duration, duration_ms
from onward.errors import ConfigError
from onward.values.paths import key_problem

ATTEMPTS_MAX: Final = 21
"""With the default policy the last of 21 attempts comes after several days; more only hide an error that nobody looks
at.
"""

ErrorTypes = type[Exception] | tuple[type[Exception], ...]


def option_ms(owner: str, option: str, value: Duration, ms_max: int = SLEEP_MS_MAX) -> int:
    """Return a duration option in milliseconds, or raise a `ConfigError` that names `owner` and `option`."""
    try:
        ms = duration_ms(value)
    except ValueError as error:
        raise ConfigError(f"{owner}, option '{option}': {error}.", code="E0104") from error
    _within(owner, f"{option} in ms", ms, 0, ms_max)
    return ms


def _within(owner: str, option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{owner}, option '{option}': {value!r} is not between {low:g} and {high:g}.", code="E0105")


class Retry(Struct, frozen=True, kw_only=True):
    """How a failed step is tried again.

    Attempt n + 1 comes `backoff * factor ** (n - 1)` after attempt n, at most `max_backoff`, plus up to the fraction
    `jitter` of it. Only errors in `on` and not in `never_on` are retried. `attempts` counts the first one too: 1 means
    no retry, 21 is the most.
    """

    attempts: int = 5
    backoff: Duration = 1
    factor: float = 2.0
    max_backoff: Duration = "24h"
    jitter: float = 0.25
    on: ErrorTypes = Exception
    never_on: ErrorTypes = ()

    def __post_init__(self) -> None:
        _within("Retry", "attempts", self.attempts, 1, ATTEMPTS_MAX)
        _within("Retry", "factor", self.factor, 1, 100)
        _within("Retry", "jitter", self.jitter, 0, 1)
        _within("Retry", "backoff in ms", option_ms("Retry", "backoff", self.backoff), 0, DAY_MS)
        _within("Retry", "max_backoff in ms", option_ms("Retry", "max_backoff", self.max_backoff), 0, DAY_MS)

    @property
    def backoff_ms(self) -> int:
        """`backoff` in milliseconds."""
        return duration_ms(self.backoff)

    @property
    def max_backoff_ms(self) -> int:
        """`max_backoff` in milliseconds."""
        return duration_ms(self.max_backoff)


class Concurrency(Struct, frozen=True):
    """At most `limit` runs of a function at once; with `key`, a path such as "event.data.customer", for each of its
    values.
    """

    limit: int
    key: str = ""

    def __post_init__(self) -> None:
        _within("Concurrency", "limit", self.limit, 1, 1_000_000)

    def check(self, function: str) -> None:
        """Raise `ConfigError` naming `function` if the key is not a path."""
        if self.key and (problem := key_problem(self.key)):
            raise ConfigError(f"function '{function}', option 'concurrency': the key {problem}.", code="E0103")
