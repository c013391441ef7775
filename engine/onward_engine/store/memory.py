"""A store that forgets everything with its process: for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence

from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AppManifest, Event

from ..model import Item, Run
from ..rules.flow.facts import AHEAD_MAX, Awaited, Backlog, Holders, Line, Queued
from .journals import page_of, steps_of
from .memory_tables import MemoryTables
from .pages import event_page, run_page
from .port import (
    HOLDERS_PAGE,
    ITEMS_PAGE,
    JOURNAL_PAGE_BYTES,
    LINES_PAGE,
    STEPS_PAGE,
    Committed,
    EventFilter,
    EventPage,
    JournalPage,
    Op,
    RunFilter,
    RunPage,
    StepPage,
)
from .queued import awaited, backlog_of, lines_of, queued_of, shares_of
from .work.batch import apply_batch


class MemoryStore:
    """Implements `Store`. Nothing in it waits, so every call has its effect before it returns."""

    def __init__(self, limits: Limits | None = None, times: Times | None = None, *, is_shared: bool = False) -> None:
        """Begin empty. With `is_shared`, engines of this process may share it."""
        self.is_shared = is_shared
        self._tables = MemoryTables()
        self._limits = limits or Limits()
        self._times = times or Times()

    async def open(self) -> None:
        """Nothing to open."""

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        """See `Store`."""
        return apply_batch(self._tables, ops, self._limits, self._times)

    async def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        found = self._tables.run(run)
        return None if found is None else self._tables.tagged(found)

    async def runs(self, wanted: RunFilter) -> RunPage:
        """See `Store`."""
        runs = self._tables.runs
        return run_page((self._tables.tagged(runs[ord]) for ord in sorted(runs, reverse=True)), wanted)

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        """See `Store`."""
        found = self._tables.run(run)
        return StepPage() if found is None else steps_of(self._tables.rows(found, after), limit, after)

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        """See `Store`. A row's place is its number."""
        found = self._tables.run(run)
        return JournalPage() if found is None else page_of(self._tables.rows(found, after), limit_bytes)

    async def waiter(self, event: str, value: bytes) -> str | None:
        """See `Store`."""
        found = self._tables.waits_at(event, "", value)
        return self._tables.run_at(found[0].ord).id if found else None

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        return self._tables.event(event)

    async def events(self, wanted: EventFilter) -> EventPage:
        """See `Store`."""
        return event_page(self._tables.kept_events(), wanted)

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        """See `Store`."""
        return [found for event in events if (found := self._tables.event(event)) is not None]

    async def joined(self, event: str) -> tuple[str, ...]:
        """See `Store`."""
        return self._tables.joined(event)

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        """See `Store`."""
        return [item for item in self._tables.items(kind, owner) if item.name > after or not after][:limit]

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        """See `Store`."""
        found = self._tables.run(run)
        row = None if found is None else self._tables.queue_row(found.ord)
        return None if row is None else queued_of(row, self._tables.queue_rows(), ahead_max)

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        """See `Store`."""
        return self._tables.holders(flow_key, limit)

    async def awaited(self, run: str) -> list[Awaited]:
        """See `Store`."""
        found = self._tables.run(run)
        return [] if found is None else list(awaited(self._tables.waits_of(found.ord)))

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """See `Store`."""
        return backlog_of(functions, self._tables.queue_rows(), self._tables.runs)

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return lines_of(function, self._tables.queue_rows(), after, limit)

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return shares_of(function, self._tables.queue_rows(), after, limit)

    async def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return [app for _, app in sorted(self._tables.apps.items())]

    async def close(self) -> None:
        """Nothing to close: what it holds can still be read."""
