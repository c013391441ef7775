"""Assignments on their way: a short one in one frame, a long one with its journal behind it, a page at a time.

A page is read when the worker has taken the one before it, so that the engine keeps two pages for a connection, however
long the journals and however many they are. The journals for one worker come one after the other, in the order of their
claims: each is whole as early as it can be. Workers take turns, a page each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from onward_protocol.codec import decode_engine_entries
from onward_protocol.messages import Assign, EngineEntry, Journal, Segment

from .connection import Connection
from .model import Assignment
from .service import Service
from .store.port import JournalPage, Store


@dataclass(slots=True)
class _Unsent:
    """The journal of an assigned run, and how far it has been sent."""

    run: str
    epoch: int
    after: int = 0


class Assignments(Service):
    """All that were claimed and are not completely sent. An I/O error of the store ends the engine."""

    def __init__(self, store: Store, page_bytes: int) -> None:
        self._store = store
        self._page_bytes = page_bytes
        self._unsent: dict[Connection, deque[_Unsent]] = {}
        self._work = asyncio.Event()

    def send(self, connection: Connection, assignment: Assignment) -> bool:
        """Send an assignment, as far as it is there; return False if nothing can be assigned on this connection."""
        if not connection.is_assignable:
            return False
        connection.send(_frame(assignment))
        if not assignment.is_whole:
            run = assignment.run
            self._unsent.setdefault(connection, deque()).append(_Unsent(run.id, run.epoch))
            connection.on_progress = self._work.set
            self._work.set()
        return True

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while connections := [connection for connection in self._unsent if self._has_room(connection)]:
                for connection in connections:
                    await self._go_on(connection)

    def _has_room(self, connection: Connection) -> bool:
        return connection.session.waiting_bytes < self._page_bytes or not connection.is_newest

    async def _go_on(self, connection: Connection) -> None:
        """Send the next page of the first journal that is still wanted there."""
        queue = self._unsent[connection]
        while queue and not _is_wanted(connection, queue[0]):
            queue.popleft()
        if queue and await self._is_sent(connection, queue[0]):
            queue.popleft()
        if not queue:
            del self._unsent[connection]
            connection.on_progress = None

    async def _is_sent(self, connection: Connection, journal: _Unsent) -> bool:
        """Send a page; return whether that was all."""
        page = await self._store.journal(journal.run, journal.after, self._page_bytes)
        if not _is_wanted(connection, journal):
            return True
        connection.send(_piece(journal, page))
        connection.flush()
        journal.after = page.next or 0
        return page.next is None


def _is_wanted(connection: Connection, journal: _Unsent) -> bool:
    """Tell whether its worker waits for it: the connection lives, and nobody has taken the run away."""
    return connection.is_newest and connection.session.mirror.knows(journal.run, journal.epoch)


def _frame(assignment: Assignment) -> Assign:
    run = assignment.run
    return Assign(
        run=run.id,
        epoch=run.epoch,
        function=run.function,
        attempt=run.attempt,
        ord=run.ord,
        events=assignment.events,
        input=run.input,
        segments=_segments(assignment.segments),
        entries=_entries(assignment.entries),
        cause=run.cause,
        started_at_ms=run.started_at_ms,
        journal_follows=not assignment.is_whole,
        origins=run.origins,
        parent=run.parent,
    )


def _piece(journal: _Unsent, page: JournalPage) -> Journal:
    return Journal(journal.run, journal.epoch, _segments(page.segments), _entries(page.entries), last=page.next is None)


def _segments(rows: tuple[tuple[int, int, bytes], ...]) -> tuple[Segment, ...]:
    return tuple(Segment(epoch, seq, entries) for epoch, seq, entries in rows)


def _entries(rows: tuple[bytes, ...]) -> tuple[EngineEntry, ...]:
    return tuple(entry for data in rows for entry in decode_engine_entries(data))
