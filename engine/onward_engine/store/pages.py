"""Pages of runs and events that are in memory: what a filter means, as every store has to answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from ..model import Run
from .port import SCAN_MAX, EventFilter, EventPage, KeptEvent, RunFilter, RunPage

NEWEST = 1 << 62
"""Behind every run and every event."""

T = TypeVar("T")


def run_page(newest_first: Iterable[Run], wanted: RunFilter) -> RunPage:
    """Return a page of these runs."""
    before = NEWEST if wanted.before is None else wanted.before
    behind = (run for run in newest_first if run.ord < before)
    found, end = _page(behind, lambda run: is_wanted(run, wanted), _ord_of_run, wanted.limit)
    return RunPage(tuple(replace(run, input=b"", output=b"") for run in found), end)


def event_page(newest_first: Iterable[KeptEvent], wanted: EventFilter) -> EventPage:
    """Return a page of these events."""
    before = NEWEST if wanted.before is None else wanted.before
    behind = (kept for kept in newest_first if kept.event.ord < before)
    found, end = _page(behind, lambda kept: is_wanted_event(kept, wanted), _ord_of_event, wanted.limit)
    return EventPage(tuple(found), end)


def is_wanted(run: Run, wanted: RunFilter) -> bool:
    """Tell whether a filter lets a run through."""
    return (
        (not wanted.function or run.function == wanted.function)
        and (not wanted.status or run.status in wanted.status)
        and (wanted.ids is None or run.id in wanted.ids)
        and run.id.startswith(wanted.prefix)
        and all(run.tags.get(key) == value for key, value in wanted.tags)
        and _is_between(run.created_at_ms, wanted.created_from_ms, wanted.created_until_ms)
        and _is_between(run.ended_at_ms or None, wanted.ended_from_ms, wanted.ended_until_ms)
    )


def is_wanted_event(kept: KeptEvent, wanted: EventFilter) -> bool:
    """Tell whether a filter lets an event through."""
    return (
        (not wanted.name or kept.event.name == wanted.name)
        and kept.event.name.startswith(wanted.prefix)
        and (not wanted.key or kept.event.key == wanted.key)
        and _is_between(kept.received_at_ms, wanted.received_from_ms, wanted.received_until_ms)
    )


def _page(behind: Iterable[T], is_wanted: Callable[[T], bool], ord_of: Callable[[T], int], limit: int) -> _Page[T]:
    seen = list(islice(behind, SCAN_MAX))
    found = list(islice(filter(is_wanted, seen), limit + 1))
    if len(found) > limit:
        return found[:limit], ord_of(found[limit - 1])
    return found, ord_of(seen[-1]) if len(seen) == SCAN_MAX else None


_Page = tuple[list[T], int | None]


def _is_between(at_ms: int | None, from_ms: int | None, until_ms: int | None) -> bool:
    if at_ms is None:
        return from_ms is None and until_ms is None
    return (from_ms is None or at_ms >= from_ms) and (until_ms is None or at_ms < until_ms)


def _ord_of_run(run: Run) -> int:
    return run.ord


def _ord_of_event(kept: KeptEvent) -> int:
    return kept.event.ord
