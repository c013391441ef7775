"""Runs and their journals, of one batch."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from ...model import Run
from ..tables import Journal
from . import values
from .needs import HELD_BY_ANY
from .reading import Incomplete, Reading, check_text
from .rows import Rows
from .values import Row

_SEEN = -1


class Payload(NamedTuple):
    """What a run carries, as stored; `output` and `failure` of a run that was over before this batch."""

    events: tuple[str, ...]
    input: bytes
    cause: bytes | None
    output: bytes | None
    failure: bytes | None


class Line(NamedTuple):
    """A row of a journal."""

    ord: int
    n: int
    epoch: int
    seq: int
    data: bytes


class RunRows(Reading):
    """Runs by id and ord, by holder, and their journals."""

    def begin_runs(self) -> None:
        """Begin with nothing read."""
        self.ords: Rows[str, int] = Rows(self.undo)
        self.runs: Rows[int, Run] = Rows(self.undo, _holders)
        self.new_runs: dict[int, Run] = {}
        self.next_runs: set[int] = set()  # may be let in or claimed, so that the keys of their limits are needed
        self.versions: dict[int, int] = {}
        self.tails: Rows[int, int] = Rows(self.undo)
        self.new_lines: dict[int, list[Line]] = {}
        self._journals: dict[int, list[Line]] = {}
        self._entries: dict[int, list[tuple[int, bytes]]] = {}
        self._entries_from: dict[int, int] = {}
        self._payloads: dict[int, Payload] = {}
        self.new_events_of: dict[int, tuple[str, ...]] = {}  # of runs that gather them

    # -- runs

    def run(self, run: str) -> Run | None:
        ord = self.ord_of(run)
        if ord is None and run not in self.ords:
            self.ask("id", run)
        return None if ord is None else self._at(ord)

    def run_at(self, ord: int) -> Run:
        found = self._at(ord)
        if found is None:
            raise Incomplete(f"run {ord} was not read")
        return found

    def full(self, run: Run) -> Run:
        new = self.new_runs.get(run.ord)
        if new is not None:
            return replace(run, events=new.events, input=new.input, cause=new.cause)
        if not self.ask("payload", run.ord):
            return run
        payload = self._payloads[run.ord]
        known = replace(
            run,
            events=self.new_events_of.get(run.ord, payload.events),
            input=payload.input,
            cause=values.failure_of(payload.cause),
        )
        if payload.output is None:  # it goes on, or ended in this batch
            return known
        return replace(known, output=payload.output, failure=values.failure_of(payload.failure))

    def add_run(self, run: Run) -> None:
        if self.ord_of(run.id) is not None:
            raise KeyError(f"there is a run {run.id} already")
        check_text(run.id, run.function, run.parent, run.parent_key, run.origin, *(flow.key for flow in run.flow))
        self.undo.set(self.new_runs, run.ord, run)
        self.locked.add(run.ord)
        self.ords.put(run.id, run.ord)
        self.tails.put(run.ord, 0)
        self.runs.put(run.ord, run)

    def put_run(self, run: Run) -> None:
        self.is_locked(run.ord)
        self.runs.put(run.ord, run)

    def put_events(self, run: Run, events: tuple[str, ...]) -> None:
        new = self.new_runs.get(run.ord)
        if new is not None:
            self.undo.set(self.new_runs, run.ord, replace(new, events=events))
        elif self.is_locked(run.ord):
            self.undo.set(self.new_events_of, run.ord, events)

    def end_run(self, run: Run) -> None:
        check_text(run.cancel_reason or "")
        self.put_run(run)

    def held_by(self, holder: str) -> list[Run]:
        self.ask("held", holder)
        return sorted(self.runs.grouped(holder), key=_ord)

    def held(self) -> list[Run]:
        self.ask("held", HELD_BY_ANY)
        return sorted((run for holder in self.runs.names() for run in self.runs.grouped(holder)), key=_ord)

    # -- journals

    def add_frame(self, run: Run, entries: bytes) -> None:
        self._append(run.ord, run.epoch, run.seq, entries)

    def add_entry(self, run: Run, entry: bytes) -> None:
        self._append(run.ord, 0, run.pos, entry)

    def journal(self, run: Run) -> Journal:
        found = self.runs.found(run.ord)
        if found is not None and self.tails.found(run.ord):
            self.ask("journal", run.ord, found.state_bytes)
        rows = [*self._journals.get(run.ord, ()), *self.new_lines.get(run.ord, ())]
        return Journal(
            tuple((row.epoch, row.seq, row.data) for row in rows if row.epoch),
            tuple(row.data for row in rows if not row.epoch),
        )

    def entries_after(self, run: Run, pos: int) -> tuple[bytes, ...]:
        found = self.runs.found(run.ord)
        stored: list[tuple[int, bytes]] = []
        if found is not None and found.pos > pos:
            if self._entries_from.get(run.ord, found.pos) > pos:
                self.missing.want("entries", (run.ord, pos))
            stored = self._entries.get(run.ord, [])
        new = ((row.seq, row.data) for row in self.new_lines.get(run.ord, ()) if not row.epoch)
        return tuple(data for number, data in (*stored, *new) if number > pos)

    def ord_of(self, run: str) -> int | None:
        """Return the ord of a run, as far as it is known."""
        return self.ords.get(run) if run in self.ords else self.statics.ord(run)

    def _append(self, ord: int, epoch: int, seq: int, data: bytes) -> None:
        n = (self.tails.get(ord) or 0) + 1
        self.tails.put(ord, n)
        self.undo.append(self.new_lines.setdefault(ord, []), Line(ord, n, epoch, seq, data))

    def _at(self, ord: int) -> Run | None:
        if ord not in self.runs:
            self.ask("run", ord)
        return self.runs.get(ord)

    def gone_runs(self) -> list[int]:
        """Return the runs that this batch deletes."""
        return [ord for ord, _, run in self.runs.changes() if run is None]

    # -- what was read

    def take_ids(self, wanted: list[str], rows: list[Row]) -> None:
        """Note which runs there are under these ids."""
        for run in map(values.static_run, rows):
            self.statics.keep(run)
            self.ords.load(run.id, run.ord)
        for id in wanted:
            if id not in self.ords:
                self.ords.load(id, None)

    def take_statics(self, rows: list[Row]) -> None:
        """Note what never changes about some runs."""
        for row in rows:
            self.statics.keep(values.static_run(row))

    def take_front(self, rows: list[Row]) -> None:
        """Note what never changes about runs that may be next: the keys of their limits are to be locked."""
        for run in map(values.static_run, rows):
            self.statics.keep(run)
            self.next_runs.add(run.ord)

    def take_runs(self, wanted: list[int], live: list[Row], ended: list[Row]) -> None:
        """Note the state of runs; what is neither is not there any more."""
        there: set[int] = set()
        for ord, version, tail, *state in live:
            there.add(ord)
            self.take_run(ord, version, tail, tuple(state))
        for ord, tail, ended_at_ms, *state in ended:
            there.add(ord)
            self.take_run(ord, 0, tail, tuple(state), ended_at_ms)
        for ord in wanted:
            if ord not in there:
                self.statics.forget(ord)
                self.runs.load(ord, None)

    def take_run(self, ord: int, version: int, tail: int, state: Row, ended_at_ms: int = 0) -> None:
        """Note the state of one run."""
        static = self.statics.get(ord)
        assert static is not None, "what never changes is read with or before what does"
        self.runs.load(ord, values.with_state(static, state, ended_at_ms))
        self.tails.load(ord, tail)
        self.versions[ord] = version

    def load_run(self, run: Run, version: int, tail: int) -> None:
        """Note a run as it was written last. It is taken for locked: writing it will show."""
        self.locked.add(run.ord)
        self.ords.load(run.id, run.ord)
        self.runs.load(run.ord, run)
        self.tails.load(run.ord, tail)
        self.versions[run.ord] = version

    def take_held(self, rows: list[Row]) -> None:
        """Note which runs somebody holds: they are to be locked, and read then."""
        self.found_runs.update(ord for (ord,) in rows)

    def take_entries(self, wanted: list[tuple[int, int]], rows: list[Row]) -> None:
        """Note engine entries."""
        for ord, pos in wanted:
            found = self.runs.found(ord)
            self._entries[ord] = []
            self._entries_from[ord] = pos if pos != _SEEN else (found.seen if found else 0)
        for ord, seq, data in rows:
            self._entries[ord].append((seq, data))

    def take_journals(self, wanted: list[int], rows: list[Row]) -> None:
        """Note whole journals, as far as they are not too long for what they were wanted for."""
        for ord in wanted:
            self._journals[ord] = []
        for row in rows:
            self._journals[row[0]].append(Line._make(row))

    def take_payloads(self, rows: list[Row]) -> None:
        """Note what runs carry."""
        for ord, events, *rest in rows:
            self._payloads[ord] = Payload(tuple(events), *rest)


def _holders(run: Run) -> tuple[str, ...]:
    return (run.holder,) if run.holder and not run.status.is_terminal else ()


def _ord(run: Run) -> int:
    return run.ord
