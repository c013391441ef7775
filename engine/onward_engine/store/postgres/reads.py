"""What people and clients ask: short reads of what is committed, on a connection of their own."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event

from ...model import Run, Status
from ..journals import JournalRow, page_of, steps_of
from ..port import JOURNAL_PAGE_BYTES, JournalPage, RunFilter, StepPage
from . import values
from .link import Link, Pause
from .reading import Unstorable, check_text
from .statements import statements
from .values import Row

_SQL = statements("reads")
_NEWEST = 2**62
_STATIC = 9
_STATE = _STATIC + 12
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
        return replace(_listed(tuple(listed)), input=input, output=output or b"")

    async def runs(self, wanted: RunFilter) -> list[Run]:
        """Return a page of runs, newest first, without their input and output."""
        before = _NEWEST if wanted.before is None else wanted.before
        name = _page(wanted)
        parameters: list[Any] = [before, wanted.limit]
        if name != "page_all":
            parameters.append(wanted.function)
        if wanted.status is not None:
            parameters.append(wanted.status.value)
        return [_listed(row) for row in await self._fetch(_SQL[name], *parameters)]

    async def steps(self, run: str, after: int, limit: int) -> StepPage:
        """Return the next lines of a run's history; of an unknown run, none."""
        rows: list[JournalRow] = []
        while True:
            more = await self._lines(run, rows[-1].place if rows else after, JOURNAL_PAGE_BYTES)
            rows += more
            page = steps_of(rows, limit)
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

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        rows = await self._fetch(_SQL["event"], event)
        return values.event_of(rows[0]) if rows else None

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
            check_text(*(one for one in parameters if isinstance(one, str)))
        except Unstorable:
            return []  # the server would not even look for it
        async with self._lock:
            connection = await self._link.connection(Pause())
            return [tuple(row) for row in await connection.fetch(statement, *parameters)]


def _listed(row: Row) -> Run:
    ended_at_ms, events, cause, failure = row[_STATE:]
    run = values.with_state(values.static_run(row[:_STATIC]), row[_STATIC:_STATE], ended_at_ms)
    cause, failure = values.failure_of(cause), values.failure_of(failure)
    return replace(run, events=tuple(events), cause=cause, failure=failure)


def _page(wanted: RunFilter) -> str:
    match wanted.status:
        case None:
            return "page_of_function" if wanted.function else "page_all"
        case Status.COMPLETED:
            return "page_completed"
        case Status.FAILED | Status.CANCELLED:
            return "page_ended_badly"
        case _:
            return "page_live"
