"""Pages of runs and events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from ...model import Run
from ..pages import NEWEST
from ..port import SCAN_MAX, EventFilter, EventPage, KeptEvent, RunFilter, RunPage
from ..windows import event_window_of, window_of
from . import values
from .statements import statements
from .values import Row

_SQL = statements("lists")

_STATE_AT = values.STATIC_COLUMNS
_REST_AT = _STATE_AT + values.STATE_COLUMNS
_EVENT_COLUMNS = 7

_tags = msgspec.json.Decoder(dict[str, str])

Fetch = Callable[..., Awaitable[list[Row]]]


async def run_page(fetch: Fetch, wanted: RunFilter) -> RunPage:
    """Return a page of runs, newest first, without their input and output."""
    window = window_of(wanted)
    begin = (_before(wanted), SCAN_MAX, _begin_of(wanted))
    rows = await fetch(_SQL[f"page_{window}"], *begin, wanted.limit + 1, *_conditions_of(wanted))
    found = [listed(row) for row in rows]
    if len(found) > wanted.limit:
        return RunPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].ord)
    return RunPage(tuple(found), await _next(fetch, f"end_{window}", begin))


async def event_page(fetch: Fetch, wanted: EventFilter) -> EventPage:
    """Return a page of events, newest first."""
    window = event_window_of(wanted)
    begin = (_before(wanted), SCAN_MAX, wanted.name)
    conditions = (wanted.key, wanted.received_from_ms, wanted.received_until_ms, wanted.prefix)
    rows = await fetch(_SQL[f"event_page_{window}"], *begin, wanted.limit + 1, *conditions)
    found = [_kept(row) for row in rows]
    if len(found) > wanted.limit:
        return EventPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].event.ord)
    return EventPage(tuple(found), await _next(fetch, f"event_end_{window}", begin))


def listed(row: Row) -> Run:
    """Return the run of a row of `reads.static`, `reads.state` and `reads.listed`."""
    ended_at_ms, tags, events, cause, failure = row[_REST_AT:]
    run = values.with_state(values.static_run(row[:_STATE_AT]), row[_STATE_AT:_REST_AT], ended_at_ms)
    cause, failure = values.failure_of(cause), values.failure_of(failure)
    return replace(run, tags=_tags_of(tags), events=tuple(events), cause=cause, failure=failure)


def _tags_of(data: str | None) -> dict[str, str]:
    return {} if data is None else _tags.decode(data)


async def _next(fetch: Fetch, statement: str, begin: tuple[object, ...]) -> int | None:
    """Return where to go on behind a window that was looked through; None at the end of everything."""
    rows = await fetch(_SQL[statement], *begin)
    if not rows:
        return None
    last, count = rows[0]
    return last if count == SCAN_MAX else None


def _begin_of(wanted: RunFilter) -> object:
    """Return what the window's index is asked for."""
    match window_of(wanted):
        case "ids":
            return list(wanted.ids or ())
        case "prefix":
            return wanted.prefix
        case "tag":
            return list(wanted.tags[0])
        case "badly":
            return wanted.status[0].value
        case "function":
            return wanted.function
        case _:
            return ""


def _conditions_of(wanted: RunFilter) -> tuple[object, ...]:
    return (
        wanted.function,
        [status.value for status in wanted.status],
        wanted.prefix,
        wanted.created_from_ms,
        wanted.created_until_ms,
        wanted.ended_from_ms,
        wanted.ended_until_ms,
        [key for key, _ in wanted.tags],
        [value for _, value in wanted.tags],
    )


def _before(wanted: RunFilter | EventFilter) -> int:
    return NEWEST if wanted.before is None else wanted.before


def _kept(row: Row) -> KeptEvent:
    received_at_ms, runs = row[_EVENT_COLUMNS:]
    return KeptEvent(values.event_of(row[:_EVENT_COLUMNS]), received_at_ms, runs)
