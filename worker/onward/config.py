"""Values that configure functions and steps. Immutable; a wrong one raises `ConfigError` where it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from msgspec import Struct
from onward_protocol import messages

from onward.durations import DAY_MS, SLEEP_MS_MAX, Duration, duration_ms
from onward.errors import ConfigError, OnwardError, RetryAfter, WorkerLost
from onward.events import EventType
from onward.values.names import check_name, check_text
from onward.values.paths import path_problem

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
    if not 0 <= ms <= ms_max:
        raise ConfigError(f"{owner}, option '{option}': {value!r} is not between 0 and {_span(ms_max)}.", code="E0105")
    return ms


def limit_ms(owner: str, option: str, value: Duration | None) -> int | None:
    """As `option_ms`, for a limit that need not be set and is at least a millisecond: with less nothing could ever
    happen.
    """
    if value is None:
        return None
    ms = option_ms(owner, option, value)
    if ms < 1:
        raise ConfigError(f"{owner}, option '{option}': {value!r} is less than a millisecond.", code="E0105")
    return ms


def _span(ms: int) -> str:
    return f"{ms // DAY_MS}d" if ms % DAY_MS == 0 else f"{ms / 1000:g}s"


def check_kind(owner: str, option: str, value: object, kind: type) -> None:
    """Raise `ConfigError` naming `owner` and `option` if it is set to something of another kind.

    Who has no type checker would find out in the middle of a run.
    """
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{owner}, option '{option}': {value!r} is not a {kind.__name__}.", code="E0123")


def _check_event(event: object) -> None:
    if not isinstance(event, EventType | str):
        raise ConfigError(f"CancelOn, option 'event': {event!r} is no EventType.", code="E0117")


def _check_error_types(option: str, types: object) -> None:
    for one in cast("tuple[object, ...]", types) if isinstance(types, tuple) else (types,):
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise ConfigError(f"Retry, option '{option}': {one!r} is not a class of exceptions.", code="E0105")


def _within(owner: str, option: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{owner}, option '{option}': {value!r} is not between {low:g} and {high:g}.", code="E0105")


class Retry(Struct, frozen=True, kw_only=True):
    """How a failed step is tried again.

    Attempt n + 1 comes `backoff * factor ** (n - 1)` after attempt n, at most `max_backoff`, plus up to the fraction
    `jitter` of it. Only errors in `on` and not in `never_on` are retried. `attempts` counts the first one too: 1 means
    no retry, 21 is the most. No attempt starts later than `max_time` after the step's first one, however many are left.
    """

    attempts: int = 5
    backoff: Duration = 1
    factor: float = 2.0
    max_backoff: Duration = "24h"
    jitter: float = 0.25
    on: ErrorTypes = Exception
    never_on: ErrorTypes = ()
    max_time: Duration | None = None

    def __post_init__(self) -> None:
        _within("Retry", "attempts", self.attempts, 1, ATTEMPTS_MAX)
        _within("Retry", "factor", self.factor, 1, 100)
        _within("Retry", "jitter", self.jitter, 0, 1)
        option_ms("Retry", "backoff", self.backoff, DAY_MS)
        option_ms("Retry", "max_backoff", self.max_backoff, DAY_MS)
        _check_error_types("on", self.on)
        _check_error_types("never_on", self.never_on)
        limit_ms("Retry", "max_time", self.max_time)

    @property
    def backoff_ms(self) -> int:
        """`backoff` in milliseconds."""
        return duration_ms(self.backoff)

    @property
    def max_backoff_ms(self) -> int:
        """`max_backoff` in milliseconds."""
        return duration_ms(self.max_backoff)

    @property
    def max_time_ms(self) -> int | None:
        """`max_time` in milliseconds."""
        return None if self.max_time is None else duration_ms(self.max_time)

    def covers(self, error: BaseException) -> bool:
        """Tell whether such an error is tried again at all, while attempts and time are left."""
        match error:
            case RetryAfter() | WorkerLost():  # asked for, or not the code's fault: no matter what the policy lists
                return True
            case OnwardError(retryable=False):
                return False
            case _:
                return isinstance(error, self.on) and not isinstance(error, self.never_on)


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a run may wait for its `start`, how long it may then take to `finish`, and how long each attempt of a
    `step` may take that has no timeout of its own. A run that is too late is cancelled; an attempt fails.
    """

    start: Duration | None = None
    finish: Duration | None = None
    step: Duration | None = None

    def __post_init__(self) -> None:
        for option in ("start", "finish", "step"):
            limit_ms("Timeouts", option, getattr(self, option))

    def over(self, default: Timeouts) -> Timeouts:
        """Return these, and those of `default` where nothing is said here."""
        return Timeouts(
            start=default.start if self.start is None else self.start,
            finish=default.finish if self.finish is None else self.finish,
            step=default.step if self.step is None else self.step,
        )

    @property
    def start_ms(self) -> int | None:
        """`start` in milliseconds."""
        return None if self.start is None else duration_ms(self.start)

    @property
    def finish_ms(self) -> int | None:
        """`finish` in milliseconds."""
        return None if self.finish is None else duration_ms(self.finish)

    @property
    def step_ms(self) -> int | None:
        """`step` in milliseconds."""
        return None if self.step is None else duration_ms(self.step)


class CancelOn(Struct, frozen=True):
    """An event that cancels runs of a function, whatever they do: queued, running, sleeping or waiting.

    `match`, a path such as "order.id", names what has to be equal in the run's own event and in the cancelling one;
    `where` is a condition on both: "async.data.version > event.data.version". With a `timeout` the rule counts for so
    long from the run's start on.
    """

    event: EventType[Any] | str
    match: str = ""
    where: str = ""
    timeout: Duration | None = None

    def __post_init__(self) -> None:
        _check_event(self.event)
        owner = f"CancelOn({self.name!r})"
        check_text(f"{owner}, option 'match'", self.match)
        check_text(f"{owner}, option 'where'", self.where)
        check_name(f"{owner}, option 'event'", self.name)
        if self.name.endswith("*"):
            raise ConfigError(f"{owner}, option 'event': a rule names one event, not a prefix.", code="E0103")
        if self.match and (problem := path_problem(self.match)):
            raise ConfigError(f"{owner}, option 'match': the path {problem}.", code="E0103")
        limit_ms(owner, "timeout", self.timeout)

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event if isinstance(self.event, str) else self.event.name

    def rule(self) -> messages.CancelRule:
        """Return what the engine is told."""
        match = (self.match,) if self.match else ()
        return messages.CancelRule(self.name, match, self.where, limit_ms("CancelOn", "timeout", self.timeout))


CancelOption = CancelOn | Sequence[CancelOn]
"""One rule or several."""

CANCEL_RULES_MAX: Final = 5
LABELS_MAX: Final = 16


def cancel_rules(function: str, option: CancelOption | None) -> tuple[messages.CancelRule, ...]:
    """Return the rules of a function. Raises `ConfigError`."""
    given: Any = option
    is_one = isinstance(given, str) or not hasattr(given, "__iter__")
    rules: tuple[Any, ...] = () if given is None else (given,) if is_one else tuple(given)
    for rule in rules:
        check_kind(f"function '{function}'", "cancel_on", rule, CancelOn)
    if len(rules) > CANCEL_RULES_MAX:
        what = f"{len(rules)} rules; {CANCEL_RULES_MAX} are possible"
        raise ConfigError(f"function '{function}', option 'cancel_on': {what}.", code="E0105")
    return tuple(rule.rule() for rule in rules)


def check_labels(owner: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a function or a worker. Raises `ConfigError`."""
    if len(labels) > LABELS_MAX:
        raise ConfigError(f"{owner}, option 'labels': {len(labels)} of them; {LABELS_MAX} are possible.", code="E0105")
    for text in (*labels, *labels.values()):
        check_name(f"{owner}, option 'labels'", text)
    return dict(labels)
