"""What people and clients ask: short reads of what is committed, on a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event

from ...model import Item, Run
from ...rules.flow.facts import Awaited, Backlog, Holders, Line, Queued
from ..journals import JournalRow, page_of, steps_of
from ..port import JOURNAL_PAGE_BYTES, EventFilter, EventPage, JournalPage, RunFilter, RunPage, StepPage
from . import lists, queue_reads, values
from .link import Link, Pause
from .reading import Unstorable, check_text
from .statements import statements
from .values import Row

_SQL = statements("reads")
_LINES = 1_000  # rows of a journal that are read at once


class Reads:
    """The questions of the port."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = asyncio.Lock()

    async def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        rows = await self._fetch(_SQL["whole"], run)
        if not rows:
            return None
        *listed, input, output = rows[0]
        return replace(lists.listed(tuple(listed)), input=input, output=output or b"")

    async def runs(self, wanted: RunFilter) -> RunPage:
        """Return a page of runs."""
        return await lists.run_page(self._fetch, wanted)

    async def steps(self, run: str, after: int, limit: int) -> StepPage:
        """Return the next lines of a run's history; of an unknown run, none."""
        rows: list[JournalRow] = []
        while True:
            more = await self._lines(run, rows[-1].place if rows else after, JOURNAL_PAGE_BYTES)
            rows += more
            page = steps_of(rows, limit, after)
            if page.next is not None or not more:
                return page

    async def journal(self, run: str, after: int, limit_bytes: int) -> JournalPage:
        """Return the next rows of a run's journal; of an unknown run, none."""
        rows: list[JournalRow] = []
        while True:
            more = await self._lines(run, rows[-1].place if rows else after, limit_bytes)
            rows += more
            page = page_of(rows, limit_bytes)
            if page.next is not None or not more:
                return page

    async def waiter(self, event: str, value: bytes) -> str | None:
        """Return the oldest run with such a wait."""
        rows = await self._fetch(_SQL["waiter"], event, value)
        return rows[0][0] if rows else None

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        rows = await self._fetch(_SQL["event"], event)
        return values.event_of(rows[0]) if rows else None

    async def events(self, wanted: EventFilter) -> EventPage:
        """Return a page of events."""
        return await lists.event_page(self._fetch, wanted)

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        """Return those of these events that there are."""
        return [values.event_of(row) for row in await self._fetch(_SQL["events"], list(events))]

    async def joined(self, event: str) -> tuple[str, ...]:
        """Return the runs that an event has joined."""
        rows = await self._fetch(_SQL["joined"], event)
        return tuple(rows[0][0].split()) if rows else ()

    async def items(self, kind: str, owner: str, after: str, limit: int) -> list[Item]:
        """Return a page of what is kept, by name."""
        return [Item(*row) for row in await self._fetch(_SQL["items"], kind, owner, after, limit)]

    async def queued(self, run: str, ahead_max: int) -> Queued | None:
        """Return where in the queue a run is."""
        return await queue_reads.read_queued(self._fetch, run, ahead_max)

    async def holders(self, flow_key: str, limit: int) -> Holders:
        """Return who has the places of a key."""
        return await queue_reads.read_holders(self._fetch, flow_key, limit)

    async def awaited(self, run: str) -> list[Awaited]:
        """Return what a run waits for."""
        return await queue_reads.read_awaited(self._fetch, run)

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """Return how many runs of these functions are in the queue."""
        return await queue_reads.read_backlog(self._fetch, functions)

    async def lines(self, function: str, after: str, limit: int) -> list[Line]:
        """Return the lines in which runs of a function stand."""
        return await queue_reads.read_lines(self._fetch, function, after, limit)

    async def shares(self, function: str, after: str, limit: int) -> list[Line]:
        """Return the keys by which runs of a function take turns."""
        return await queue_reads.read_shares(self._fetch, function, after, limit)

    async def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return [values.unpack_app(manifest) for (manifest,) in await self._fetch(_SQL["apps"])]

    async def close(self) -> None:
        """Let go of the connection."""
        await self._link.close()

    async def _lines(self, run: str, after: int, limit_bytes: int) -> list[JournalRow]:
        return [JournalRow._make(row) for row in await self._fetch(_SQL["lines"], run, after, _LINES, limit_bytes)]

    async def _fetch(self, statement: str, *parameters: object) -> list[Row]:
        try:
            check_text(*_texts(parameters))
        except Unstorable:
            return []  # the server would not even look for it
        async with self._lock:
            connection = await self._link.connection(Pause())
            return [tuple(row) for row in await connection.fetch(statement, *parameters)]


def _texts(parameters: Sequence[object]) -> Iterator[str]:
    for one in parameters:
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            yield from cast("list[str]", one)
