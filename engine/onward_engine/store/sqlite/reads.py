"""What people and clients ask: short reads of what is committed, on a connection that cannot write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onward_protocol.messages import AppManifest, Event

from ...model import Item, Run
from ...rules.flow.facts import Awaited, Backlog, Holders, Line, Queued
from ..journals import JournalRow, page_of, steps_of
from ..port import EventFilter, EventPage, JournalPage, RunFilter, RunPage, StepPage
from . import lists, queue_reads, rows
from .event_rows import read_apps, read_joined
from .item_rows import read_items
from .journal_rows import journal_rows
from .rows import Db
from .statements import statements

_RUNS = statements("runs")
_EVENTS = statements("events")
_WAITS = statements("waits")
_READS = statements("reads")


class Reads:
    """The questions of the port on one connection."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def history(self) -> str:
        """Return the name that the file's history got when it was made."""
        return str(self._db.execute(_EVENTS["meta"], ("history",)).fetchone()[0])

    def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        row = self._db.execute(_READS["whole"], (run,)).fetchone()
        return None if row is None else rows.whole(row)

    def runs(self, wanted: RunFilter) -> RunPage:
        """Return a page of runs."""
        return lists.run_page(self._db, wanted)

    def steps(self, run: str, after: int, limit: int) -> StepPage:
        """Return the next lines of a run's history; of an unknown run, none."""
        return steps_of(self._journal(run, after), limit, after)

    def journal(self, run: str, after: int, limit_bytes: int) -> JournalPage:
        """Return the next rows of a run's journal; of an unknown run, none."""
        return page_of(self._journal(run, after), limit_bytes)

    def _journal(self, run: str, after: int = 0) -> Iterable[JournalRow]:
        found = self._db.execute(_RUNS["tail"], (run,)).fetchone()
        return () if found is None else journal_rows(self._db, found[0], found[1], after)

    def waiter(self, event: str, value: bytes) -> str | None:
        """Return the oldest run with such a wait."""
        row = self._db.execute(_WAITS["waiter"], (event, value)).fetchone()
        return None if row is None else str(row[0])

    def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        row = self._db.execute(_EVENTS["event"], (event,)).fetchone()
        return None if row is None else rows.event_of(row)

    def events(self, wanted: EventFilter) -> EventPage:
        """Return a page of events."""
        return lists.event_page(self._db, wanted)

    def events_of(self, events: Sequence[str]) -> list[Event]:
        """Return those of these events that there are."""
        found = self._db.execute(_EVENTS["events"], (rows.listing(events),)).fetchall()
        return [rows.event_of(row) for row in found]

    def joined(self, event: str) -> tuple[str, ...]:
        """Return the runs that an event has joined."""
        return read_joined(self._db, event)

    def items(self, kind: str, owner: str, after: str, limit: int) -> list[Item]:
        """Return a page of what is kept, by name."""
        return read_items(self._db, kind, owner, after, limit)

    def queued(self, run: str, ahead_max: int) -> Queued | None:
        """Return where in the queue a run is."""
        return queue_reads.read_queued(self._db, run, ahead_max)

    def holders(self, flow_key: str, limit: int) -> Holders:
        """Return who has the places of a key."""
        return queue_reads.read_holders(self._db, flow_key, limit)

    def awaited(self, run: str) -> list[Awaited]:
        """Return what a run waits for."""
        return queue_reads.read_awaited(self._db, run)

    def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """Return how many runs of these functions are in the queue."""
        return queue_reads.read_backlog(self._db, functions)

    def lines(self, function: str, after: str, limit: int) -> list[Line]:
        """Return the lines in which runs of a function stand."""
        return queue_reads.read_lines(self._db, function, after, limit)

    def shares(self, function: str, after: str, limit: int) -> list[Line]:
        """Return the keys by which runs of a function take turns."""
        return queue_reads.read_shares(self._db, function, after, limit)

    def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return read_apps(self._db)
