"""The engine's HTTP API for schedules and delayed events as values, as `calls` has it for runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, field

from onward.calls import Answer, Request, answered
from onward.durations import Duration, duration_ms
from onward.events import at_ms
from onward.function import Function


class ScheduleRecord(Struct, frozen=True, kw_only=True):
    """A schedule as the engine shows it. `number` is its place among those of its function. `next_at_ms` is its next
    tick, and `fires_at_ms` when that one is fired; None: never, or not while it is paused. `skipped` ticks found the
    run of the last one still going on; `missed` ones were not fired in time, and not made up for.
    """

    function: str
    number: int
    expression: str
    tz: str
    jitter_ms: int = 0
    overlap: Literal["allow", "skip", "cancel"] = "allow"
    catch_up: Literal["none", "last", "all"] = "last"
    is_paused: bool = field(name="paused", default=False)
    next_at_ms: int | None = None
    fires_at_ms: int | None = None
    last_at_ms: int | None = None
    last_run: str | None = None
    skipped: int = 0
    missed: int = 0


class SchedulePage(Struct, frozen=True):
    """Some schedules, by function. `cursor` is where the next page begins; None after the last."""

    schedules: tuple[ScheduleRecord, ...]
    cursor: str | None = None


class BackfilledTick(Struct, frozen=True):
    """A tick of the past and its run. `is_new`: the run was started now, or in a dry run would be."""

    at: datetime
    run: str
    is_new: bool = field(name="new")


class DelayedRecord(Struct, frozen=True):
    """An event that comes in at `due_at_ms`."""

    id: str
    name: str
    due_at_ms: int
    key: str = ""


class DelayedPage(Struct, frozen=True):
    """Some delayed events, by id. `cursor` is where the next page begins; None after the last."""

    events: tuple[DelayedRecord, ...]
    cursor: str | None = None


class _Tick(Struct):
    at: datetime


class _Ticks(Struct):
    ticks: tuple[_Tick, ...]


class _Backfilled(Struct):
    ticks: tuple[BackfilledTick, ...]


class _Now(Struct):
    now_ms: int


AnyFunction = Function[Any, Any] | str


def listing_schedules(function: AnyFunction | None, limit: int, cursor: str | None) -> Request:
    """Ask for schedules."""
    wanted = {"function": function and _id_of(function), "limit": limit, "cursor": cursor}
    return Request("GET", "/v1/schedules" + _query(wanted))


def listed_schedules(answer: Answer) -> SchedulePage:
    """Return the page of schedules."""
    return answered(answer, SchedulePage)


def reading_schedule(function: AnyFunction, number: int) -> Request:
    """Ask for a schedule."""
    return Request("GET", _path(function, number))


def read_schedule(answer: Answer) -> ScheduleRecord:
    """Return the schedule."""
    return answered(answer, ScheduleRecord)


def holding_schedule(function: AnyFunction, number: int, *, is_paused: bool) -> Request:
    """Ask to pause or to resume a schedule."""
    return Request("POST", _path(function, number) + ("/pause" if is_paused else "/resume"))


def reading_ticks(function: AnyFunction, number: int, after: datetime | None, limit: int) -> Request:
    """Ask for the next ticks of a schedule."""
    wanted = {"after_ms": None if after is None else at_ms(after), "limit": limit}
    return Request("GET", _path(function, number) + "/ticks" + _query(wanted))


def read_ticks(answer: Answer) -> tuple[datetime, ...]:
    """Return the ticks."""
    return tuple(tick.at for tick in answered(answer, _Ticks).ticks)


def backfilling(function: AnyFunction, number: int, from_: datetime, until: datetime, *, dry_run: bool) -> Request:
    """Ask for the runs of ticks of the past."""
    body = {"from_ms": at_ms(from_), "until_ms": at_ms(until), "dry_run": dry_run}
    return Request("POST", _path(function, number) + "/backfill", msgspec.json.encode(body))


def backfilled(answer: Answer) -> tuple[BackfilledTick, ...]:
    """Return the ticks with their runs."""
    return answered(answer, _Backfilled).ticks


def listing_delayed(limit: int, cursor: str | None) -> Request:
    """Ask for the events that are not due yet."""
    return Request("GET", "/v1/delayed-events" + _query({"limit": limit, "cursor": cursor}))


def listed_delayed(answer: Answer) -> DelayedPage:
    """Return the page of delayed events."""
    return answered(answer, DelayedPage)


def taking_back(event: str) -> Request:
    """Ask to forget an event that is not due yet."""
    return Request("DELETE", f"/v1/delayed-events/{quote(event, safe='')}")


def advancing(duration: Duration) -> Request:
    """Ask a test engine to move its clock."""
    return Request("POST", "/v1/test/clock", msgspec.json.encode({"advance_ms": duration_ms(duration)}))


def advanced(answer: Answer) -> int:
    """Return the engine's time of day in milliseconds."""
    return answered(answer, _Now).now_ms


def _path(function: AnyFunction, number: int) -> str:
    return f"/v1/schedules/{quote(_id_of(function))}/{number}"


def _id_of(function: AnyFunction) -> str:
    return function if isinstance(function, str) else function.id


def _query(wanted: Mapping[str, Any]) -> str:
    said = {name: value for name, value in wanted.items() if value is not None}
    return "?" + urlencode(said) if said else ""
