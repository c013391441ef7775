"""What people and clients ask: short reads of what is committed, on a connection that cannot write."""

from __future__ import annotations

from collections.abc import Iterable

from onward_protocol.messages import AppManifest, Event

from ...model import Run, Status
from ..journals import JournalRow, page_of, steps_of
from ..port import JournalPage, RunFilter, StepPage
from . import rows
from .event_rows import read_apps
from .journal_rows import journal_rows
from .rows import Db
from .statements import statements

_RUNS = statements("runs")
_EVENTS = statements("events")
_READS = statements("reads")
_NEWEST = 2**63 - 1


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
        return None if row is None else rows.with_payload(rows.run_of(row), rows.payload_of(row[rows.COLUMNS :]))

    def runs(self, wanted: RunFilter) -> list[Run]:
        """Return a page of runs, newest first, without their input and output."""
        values = {
            "function": wanted.function,
            "status": wanted.status,
            "before": _NEWEST if wanted.before is None else wanted.before,
            "limit": wanted.limit,
        }
        return [rows.listed(row) for row in self._db.execute(_READS[_page(wanted)], values).fetchall()]

    def steps(self, run: str, after: int, limit: int) -> StepPage:
        """Return the next lines of a run's history; of an unknown run, none."""
        return steps_of(self._journal(run, after), limit)

    def journal(self, run: str, after: int, limit_bytes: int) -> JournalPage:
        """Return the next rows of a run's journal; of an unknown run, none."""
        return page_of(self._journal(run, after), limit_bytes)

    def _journal(self, run: str, after: int = 0) -> Iterable[JournalRow]:
        found = self._db.execute(_RUNS["tail"], (run,)).fetchone()
        return () if found is None else journal_rows(self._db, found[0], found[1], after)

    def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        row = self._db.execute(_EVENTS["event"], (event,)).fetchone()
        return None if row is None else rows.event_of(row)

    def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return read_apps(self._db)


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
