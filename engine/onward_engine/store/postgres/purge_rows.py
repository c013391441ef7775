"""Rows of what is over, and their end, of one batch."""

from __future__ import annotations

from ...model import Run
from ..tables import EndedRow, EventRow
from .event_rows import EventRows
from .run_rows import RunRows
from .values import Row


class PurgeRows(RunRows, EventRows):
    """Ended runs and accepted events in the order of acceptance, and how they are deleted."""

    def begin_purge(self) -> None:
        """Begin with nothing read."""
        self._ended: dict[int, list[EndedRow]] = {}
        self._kept: dict[int, list[str]] = {}
        self._made_of: dict[int, tuple[str, ...]] = {}

    def ended_after(self, ord: int, limit: int) -> list[EndedRow]:
        self.ask("ended", ord, limit)
        rows = self._ended.get(ord, [])
        return [row for row in rows if row.ord not in self.runs or self.runs.get(row.ord) is not None][: max(0, limit)]

    def trim_journal(self, ord: int, limit: int) -> int:
        self._at(ord)
        tail = self.tails.get(ord) or 0
        gone = min(tail, max(0, limit))
        self.tails.put(ord, tail - gone)
        return gone

    def drop_run(self, ord: int) -> tuple[str, ...]:
        # Nothing is raised for what was not read: all the runs that go are then asked for at once.
        run = self._at(ord)
        events = self._events_of(ord)
        if run is None or events is None:
            return ()
        self.ords.put(run.id, None)
        self.runs.put(ord, None)
        return events

    def made_of(self, run: Run) -> tuple[str, ...]:
        return self._events_of(run.ord) or ()

    def accepted_after(self, ord: int, limit: int) -> list[EventRow]:
        self.ask("kept", ord, limit)
        rows = (self.accepted.get(id) for id in self._kept.get(ord, ()))
        return [row for row in rows if row is not None][: max(0, limit)]

    def _events_of(self, ord: int) -> tuple[str, ...] | None:
        if ord in self.new_runs:
            return self.new_runs[ord].events
        if not self.ask("made_of", ord):
            return None
        return self.new_events_of.get(ord, self._made_of[ord])

    # -- what was read

    def take_ended(self, ord: int, rows: list[Row]) -> None:
        """Note which runs are over."""
        self._ended[ord] = [EndedRow(*row) for row in rows]

    def take_made_of(self, rows: list[Row]) -> None:
        """Note of which events runs are made."""
        self._made_of.update((ord, tuple(events)) for ord, events in rows)

    def take_kept(self, ord: int, rows: list[Row]) -> None:
        """Note which events there are."""
        self.take_accepted([], rows)
        self._kept[ord] = [row[1] for row in rows]
