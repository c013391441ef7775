"""Pages of runs and events."""

from __future__ import annotations

from typing import Any

import msgspec

from ..pages import NEWEST
from ..port import SCAN_MAX, EventFilter, EventPage, KeptEvent, RunFilter, RunPage
from ..windows import PREFIX_END, event_window_of, window_of
from . import rows
from .rows import Db, Row
from .statements import statements

_SQL = statements("lists")

_EVENT_COLUMNS = 7

Values = dict[str, Any]


def run_page(db: Db, wanted: RunFilter) -> RunPage:
    """Return a page of runs, newest first, without their input and output."""
    window, values = window_of(wanted), _values_of_runs(wanted)
    found = [rows.listed(row) for row in db.execute(_SQL[f"page_{window}"], values).fetchall()]
    if len(found) > wanted.limit:
        return RunPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].ord)
    return RunPage(tuple(found), _next(db, f"end_{window}", values))


def event_page(db: Db, wanted: EventFilter) -> EventPage:
    """Return a page of events, newest first."""
    window, values = event_window_of(wanted), _values_of_events(wanted)
    found = [_kept(row) for row in db.execute(_SQL[f"event_page_{window}"], values).fetchall()]
    if len(found) > wanted.limit:
        return EventPage(tuple(found[: wanted.limit]), found[wanted.limit - 1].event.ord)
    return EventPage(tuple(found), _next(db, f"event_end_{window}", values))


def _next(db: Db, statement: str, values: Values) -> int | None:
    """Return where to go on behind a window that was looked through; None at the end of everything."""
    last, count = db.execute(_SQL[statement], values).fetchone()
    return last if count == SCAN_MAX else None


def _values_of_runs(wanted: RunFilter) -> Values:
    return {
        "before": NEWEST if wanted.before is None else wanted.before,
        "scan": SCAN_MAX,
        "limit": wanted.limit + 1,
        "function": wanted.function,
        "statuses": rows.listing([status.value for status in wanted.status]).decode(),
        "badly": wanted.status[0].value if wanted.status else "",
        "ids": rows.listing(wanted.ids or ()).decode(),
        "tags": msgspec.json.encode(wanted.tags).decode(),
        "tag_key": wanted.tags[0][0] if wanted.tags else "",
        "tag_value": wanted.tags[0][1] if wanted.tags else "",
        "prefix": wanted.prefix,
        "prefix_end": wanted.prefix + PREFIX_END,
        "created_from_ms": wanted.created_from_ms,
        "created_until_ms": wanted.created_until_ms,
        "ended_from_ms": wanted.ended_from_ms,
        "ended_until_ms": wanted.ended_until_ms,
    }


def _values_of_events(wanted: EventFilter) -> Values:
    return {
        "before": NEWEST if wanted.before is None else wanted.before,
        "scan": SCAN_MAX,
        "limit": wanted.limit + 1,
        "name": wanted.name,
        "name_prefix": wanted.prefix,
        "key": wanted.key,
        "received_from_ms": wanted.received_from_ms,
        "received_until_ms": wanted.received_until_ms,
    }


def _kept(row: Row) -> KeptEvent:
    received_at_ms, runs = row[_EVENT_COLUMNS:]
    return KeptEvent(rows.event_of(row[:_EVENT_COLUMNS]), received_at_ms, runs)
