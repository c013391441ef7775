"""The engine's HTTP API for queues and for why runs wait, as values, as `calls` has it for runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, field

from onward.calls import Answer, Bulk, Request, RunStatus, answered
from onward.function import Function

AnyFunction = Function[Any, Any] | str

LimitName = Literal["concurrency:0", "concurrency:1", "throttle", "rate_limit"]
"""A limit that can be set while everything runs: the first or the second of `concurrency`, or another option."""


class LimitChange(Struct, frozen=True):
    """Somebody has set a limit, or has set it back to what the code says (None)."""

    at_ms: int
    by: str = ""
    before: int | None = None
    after: int | None = None


class LimitRecord(Struct, frozen=True, kw_only=True):
    """A limit of a function: the one in force, what the code says (`declared`), what somebody has set (`override`;
    None: nobody has), and the newest changes of that, the newest first.
    """

    option: str
    limit: int
    declared: int
    override: int | None = None
    changes: tuple[LimitChange, ...] = ()


class QueueRecord(Struct, frozen=True, kw_only=True):
    """The queue of a function: how many runs may be claimed (`ready`), may be later, wait for a limit (`limited`), are
    paused (`held`), or wait for more events (`gathering`). More than 100,000 of a kind are not counted. `oldest_at_ms`
    is since when the one waits that was accepted first. `limits` and `options` are only known of a queue that was asked
    for alone.
    """

    function: str
    app: str
    is_paused: bool = field(name="paused", default=False)
    waiting: int = 0
    ready: int = 0
    later: int = 0
    limited: int = 0
    held: int = 0
    gathering: int = 0
    oldest_at_ms: int | None = None
    limits: tuple[LimitRecord, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])


class QueuePage(Struct, frozen=True):
    """Some queues, by function. `cursor` is where the next page begins; None after the last."""

    queues: tuple[QueueRecord, ...]
    cursor: str | None = None


class KeyRecord(Struct, frozen=True, kw_only=True):
    """The runs of a function that wait for one value of a limit's key, at most 10,000 of them. `taken` places are held
    by `holders`, of which these are the first; `offered` ones are kept for runs that nobody has claimed yet. With the
    option `fair` these are all runs that wait and take their turns by this value; it has no places.
    """

    key: str
    option: str
    scope: str = "function"
    expression: str = ""
    value: str = ""
    waiting: int = 0
    taken: int = 0
    offered: int = 0
    limit: int | None = None
    holders: tuple[str, ...] = ()


class KeyPage(Struct, frozen=True):
    """Some keys. `cursor` is where the next page begins; None after the last."""

    keys: tuple[KeyRecord, ...]
    cursor: str | None = None


class BlockingRecord(Struct, frozen=True, kw_only=True):
    """The limit that has no room for a run. `limit` is the one in force, `declared` what the code says; the other
    fields are as of a `KeyRecord`.
    """

    option: str
    scope: str = "function"
    expression: str = ""
    value: str = ""
    limit: int | None = None
    declared: int | None = None
    taken: int = 0
    offered: int = 0
    holders: tuple[str, ...] = ()


class AwaitedRecord(Struct, frozen=True):
    """What a parked run waits for: `about` an event, a signal, a function or a child run. At `due_at_ms` time ends it;
    None: never.
    """

    key: str
    kind: str
    about: str = ""
    due_at_ms: int | None = None


class WhyRecord(Struct, frozen=True, kw_only=True):
    """Why a run is where it is. `waits_for` says it in a few words, and `code` for programs; None: nothing keeps it.
    `position` is its place among the runs of its function that wait for the same; 1 is the next. At `until_at_ms`
    something changes by itself. `eta_ms` is in how long it goes on; None: nobody can know. `cancel_reason` is also why
    it was skipped, `error` what it failed with.
    """

    run: str
    function: str
    status: RunStatus
    code: str
    waits_for: str | None = None
    blocking: BlockingRecord | None = None
    position: int | None = None
    until_at_ms: int | None = None
    eta_ms: int | None = None
    awaited: tuple[AwaitedRecord, ...] = ()
    worker: str | None = None
    version: str | None = None
    strikes: int = 0
    is_paused: bool = field(name="paused", default=False)
    cancel_reason: str | None = None
    error: str | None = None


class Scale(Struct, frozen=True, kw_only=True):
    """How much there is to do. `backlog` are the runs that could begin now if there were slots, `running` the busy
    slots, `demand` both; `slots` are those of the connected workers, `desired` is how many such workers the demand
    takes.
    """

    demand: int
    backlog: int
    running: int
    slots: int
    oldest_wait_ms: int
    desired: int


def explaining(run: str) -> Request:
    """Ask why a run is where it is."""
    return Request("GET", f"/v1/runs/{quote(run, safe='')}/why")


def explained(answer: Answer) -> WhyRecord:
    """Return why."""
    return answered(answer, WhyRecord)


def listing_queues(limit: int, cursor: str | None) -> Request:
    """Ask for the queues of all functions."""
    return Request("GET", "/v1/queues" + _query({"limit": limit, "cursor": cursor}))


def listed_queues(answer: Answer) -> QueuePage:
    """Return the page of queues."""
    return answered(answer, QueuePage)


def reading_queue(function: AnyFunction) -> Request:
    """Ask for the queue of a function."""
    return Request("GET", _path(function))


def read_queue(answer: Answer) -> QueueRecord:
    """Return the queue."""
    return answered(answer, QueueRecord)


def listing_keys(function: AnyFunction, limit: int, cursor: str | None) -> Request:
    """Ask for the keys for which runs of a function wait."""
    return Request("GET", f"{_path(function)}/keys" + _query({"limit": limit, "cursor": cursor}))


def listed_keys(answer: Answer) -> KeyPage:
    """Return the page of keys."""
    return answered(answer, KeyPage)


def setting_limit(function: AnyFunction, option: str, limit: int | None, by: str) -> Request:
    """Ask for another limit than the code says; None: for that one."""
    body = {"option": option, "limit": limit, "by": by}
    return Request("POST", f"{_path(function)}/limits", msgspec.json.encode(body))


def set_limit(answer: Answer) -> LimitRecord:
    """Return the limit as it is now."""
    return answered(answer, LimitRecord)


def purging(function: AnyFunction, key: str, reason: str, *, dry_run: bool) -> Bulk:
    """Ask to cancel the runs of a function that have not begun."""
    said = {"key": key, **({"reason": reason} if reason else {})}
    return Bulk(f"{_path(function)}/purge", said, dry_run=dry_run)


def asking_scale(app: str) -> Request:
    """Ask how much there is to do."""
    return Request("GET", "/v1/scale" + (_query({"app": app}) if app else ""))


def scale(answer: Answer) -> Scale:
    """Return how much there is to do."""
    return answered(answer, Scale)


_ROOT: Final = "/v1/queues/"


def _path(function: AnyFunction) -> str:
    return _ROOT + quote(function if isinstance(function, str) else function.id)


def _query(wanted: Mapping[str, Any]) -> str:
    return "?" + urlencode({name: value for name, value in wanted.items() if value is not None})
