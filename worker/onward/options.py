"""How a function is declared: the options of `App.on` and the others, written down once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict

from msgspec import Struct, structs
from onward_protocol import messages

from onward.checkpoint import Checkpoint, CheckpointOption, checkpoint_of
from onward.config import CancelOption, Retry, Timeouts, check_kind, check_labels
from onward.flow import (
    Batch,
    ConcurrencyOption,
    Debounce,
    Fair,
    Idempotency,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
)
from onward.middleware.base import Middleware
from onward.middleware.chain import checked_middleware

if TYPE_CHECKING:
    from onward.app import App


class Options(TypedDict, total=False):
    """Options of every function. None is as if it were not there: the App's default, or nothing."""

    retry: Retry | None
    """How a failed step is tried again."""
    timeouts: Timeouts | None
    """How long runs may wait for their start and take, and each attempt of a step."""
    concurrency: ConcurrencyOption | None
    """How many runs there may be at once: one limit or two."""
    throttle: Throttle | None
    """How quickly runs may start one after another."""
    priority: Priority | None
    """Which runs start before others."""
    fair: Fair | None
    """Whose runs take turns."""
    cancel_on: CancelOption | None
    """Up to five events that cancel runs."""
    labels: Mapping[str, str] | None
    """Only workers that have all of these get its runs."""
    checkpoint: CheckpointOption | None
    """When finished steps are made durable."""
    middleware: Sequence[Middleware] | None
    """What is around its runs and steps, inside the App's."""


class EventOptions(Options, total=False):
    """Options of a function that events start: which of them do, and what becomes of many."""

    rate_limit: RateLimit | None
    """How many events may start a run; the surplus is skipped."""
    debounce: Debounce | None
    """Makes one run of events that come in quick succession."""
    batch: Batch | None
    """Collects events into one run."""
    singleton: Singleton | None
    """Keeps one run at a time."""
    idempotency: Idempotency | None
    """Starts one run for events that are the same."""


class FunctionOptions(Struct, frozen=True, kw_only=True):
    """How a function is declared, with the App's defaults filled in.

    `checkpoint` is the function's own: what it leaves open is for the worker to decide, and only then for its App.
    """

    retry: Retry
    timeouts: Timeouts = Timeouts()
    checkpoint: Checkpoint | None = None
    concurrency: ConcurrencyOption | None = None
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: Priority | None = None
    fair: Fair | None = None
    singleton: Singleton | None = None
    idempotency: Idempotency | None = None
    triggers: tuple[messages.Trigger, ...] = ()
    schedules: tuple[messages.Schedule, ...] = ()
    types: Mapping[str, Any] = {}
    cancel_on: CancelOption | None = None
    labels: Mapping[str, str] = {}
    middleware: Sequence[Middleware] = ()

    def with_given(self, owner: str, app: App, given: Mapping[str, Any]) -> FunctionOptions:
        """Return these with what is given in their place. Raises `ConfigError` naming `owner` and the option."""
        for option, kind in _KINDS.items():
            check_kind(owner, option, given.get(option), kind)
        changed: dict[str, Any] = dict(given)
        if "retry" in given:
            changed["retry"] = given["retry"] or app.retry
        if "timeouts" in given:
            changed["timeouts"] = (given["timeouts"] or Timeouts()).over(app.timeouts)
        if "checkpoint" in given:
            changed["checkpoint"] = checkpoint_of(f"{owner}, option 'checkpoint'", given["checkpoint"])
        if "labels" in given:
            changed["labels"] = check_labels(owner, given["labels"] or {})
        if "middleware" in given:
            changed["middleware"] = checked_middleware(owner, given["middleware"] or ())
        return structs.replace(self, **changed)


_KINDS: Final[Mapping[str, type]] = {
    "retry": Retry,
    "timeouts": Timeouts,
    "throttle": Throttle,
    "rate_limit": RateLimit,
    "debounce": Debounce,
    "batch": Batch,
    "priority": Priority,
    "fair": Fair,
    "singleton": Singleton,
    "idempotency": Idempotency,
}


def check_known(call: str, options: Iterable[str]) -> None:
    """Raise `TypeError`, as Python does, for an option that there is not."""
    for option in options:
        if option not in EventOptions.__optional_keys__:
            raise TypeError(f"{call} got an unexpected keyword argument {option!r}")
