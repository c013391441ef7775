"""A store that forgets everything with its process: for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AppManifest, Event

from ..model import Run
from .journals import page_of, steps_of
from .memory_tables import MemoryTables
from .port import JOURNAL_PAGE_BYTES, STEPS_PAGE, Committed, JournalPage, Op, RunFilter, StepPage
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
        return self._tables.run(run)

    async def runs(self, wanted: RunFilter) -> list[Run]:
        """Return a page of runs, newest first, without their input and output."""
        newest_first = (self._tables.runs[ord] for ord in sorted(self._tables.runs, reverse=True))
        matching = (run for run in newest_first if _is_wanted(run, wanted))
        return [replace(run, input=b"", output=b"") for run in islice(matching, wanted.limit)]

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        """See `Store`."""
        found = self._tables.run(run)
        return StepPage() if found is None else steps_of(self._tables.rows(found, after), limit)

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        """See `Store`. A row's place is its number."""
        found = self._tables.run(run)
        return JournalPage() if found is None else page_of(self._tables.rows(found, after), limit_bytes)

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        return self._tables.event(event)

    async def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return [app for _, app in sorted(self._tables.apps.items())]

    async def close(self) -> None:
        """Nothing to close: what it holds can still be read."""


def _is_wanted(run: Run, wanted: RunFilter) -> bool:
    return (
        (wanted.before is None or run.ord < wanted.before)
        and (not wanted.function or run.function == wanted.function)
        and (wanted.status is None or run.status == wanted.status)
    )
