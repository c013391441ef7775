"""Runs and their journals.

Runs that are not over are kept in memory as well: this process is the only one that writes, so what it wrote is what
is there. Changes are held back and written together: a run that got ten frames in one transaction is updated once.
Every statement that reads these rows flushes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ...model import Run
from ..tables import Journal
from . import rows
from .journal_rows import journal_rows
from .rows import Db, Row
from .statements import statements

_SQL = statements("runs")
_KEPT_MAX = 20_000  # about 1 KB each
_MARK_BYTES = 32 * 1024  # of a journal between two marks: the least that is read at once, some hundred small steps


class _Kept:
    """A run in memory, the id of its last journal row, and whether it may have an open wait."""

    __slots__ = ("may_wait", "run", "tail")

    def __init__(self, run: Run, tail: int, *, may_wait: bool) -> None:
        self.run = run
        self.tail = tail
        self.may_wait = may_wait


class RunRows:
    """Runs by id and ord, by holder, and their journals."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._ords: dict[str, int] = {}
        self._new: dict[int, Run] = {}
        self._ended: list[Row] = []
        self._over: list[Run] = []  # ended in this transaction, and in memory until its end
        self._payloads: dict[int, rows.Payload] = {}  # of this transaction
        self._progressed: set[int] = set()
        self._moved: set[int] = set()
        self._journal: list[Row] = []
        self._marks: list[Row] = []
        self._journal_id: int = db.execute(_SQL["last_journal"]).fetchone()[0]

    # -- runs

    def run(self, run: str) -> Run | None:
        ord = self._ords.get(run)
        if ord is not None:
            return self._kept[ord].run
        row = self._db.execute(_SQL["by_id"], (run,)).fetchone()
        return None if row is None else self._keep(row).run

    def run_at(self, ord: int) -> Run:
        return self._at(ord).run

    def full(self, run: Run) -> Run:
        payload = self._payloads.get(run.ord)
        if payload is None:
            self.flush()
            payload = rows.payload_of(self._db.execute(_SQL["payloads"], (run.ord,)).fetchone())
        return rows.with_payload(run, payload)

    def made_of(self, run: Run) -> tuple[str, ...]:
        if run.ord not in self._payloads:
            self.flush()
            self._payloads[run.ord] = rows.payload_of(self._db.execute(_SQL["payloads"], (run.ord,)).fetchone())
        return self._payloads[run.ord].events

    def expect_runs(self, ords: Iterable[int]) -> Iterable[str]:
        """Read runs that are not over, with their payloads, together; return the ids of their events."""
        unread = [ord for ord in ords if ord not in self._payloads]
        kept = [ord for ord in unread if ord in self._kept]
        others = [ord for ord in unread if ord not in self._kept]  # what is kept may be newer than its row
        for ord, *payload in self._db.execute(_SQL["carried"], (rows.listing(kept),)).fetchall():
            self._payloads[ord] = rows.payload_of(payload)
        self._read_fresh(others)
        self._read_going([ord for ord in others if ord not in self._payloads])
        return [event for ord in unread for event in self._payloads[ord].events]

    def _read_fresh(self, ords: Sequence[int]) -> None:
        """Read those that nobody has claimed yet. Behind a backlog that is nearly all, and it costs half as much."""
        if not ords:
            return
        for row in self._db.execute(_SQL["fresh"], (rows.listing(ords),)).fetchall():
            *payload, may_wait = row[rows.FRESH_COLUMNS :]
            run = rows.fresh_of(row)
            self._put_into_memory(_Kept(run, 0, may_wait=bool(may_wait)))
            self._payloads[run.ord] = rows.payload_of(payload)

    def _read_going(self, ords: Sequence[int]) -> None:
        if not ords:
            return
        for row in self._db.execute(_SQL["going"], (rows.listing(ords),)).fetchall():
            *payload, may_wait = row[rows.COLUMNS :]
            ord = self._keep(row, may_wait=bool(may_wait)).run.ord
            self._payloads[ord] = rows.payload_of(payload)

    def add_run(self, run: Run) -> None:
        self._new[run.ord] = run
        self._payloads[run.ord] = rows.Payload(run.events, run.input, run.cause)
        self._put_into_memory(_Kept(rows.bare(run), 0, may_wait=False))

    def put_run(self, run: Run) -> None:
        kept = self._at(run.ord)
        if _is_progress(kept.run, run):
            self._progressed.add(run.ord)
        else:
            self._moved.add(run.ord)
        kept.run = run

    def put_events(self, run: Run, events: tuple[str, ...]) -> None:
        payload = self._payloads.get(run.ord)
        if payload is not None:
            self._payloads[run.ord] = payload._replace(events=events)
        new = self._new.get(run.ord)
        if new is not None:
            self._new[run.ord] = replace(new, events=events)
        else:
            self._db.execute(_SQL["put_events"], (rows.pack(events), run.ord))

    def end_run(self, run: Run) -> None:
        kept = self._at(run.ord)
        if run.ord in self._new:
            self.flush()
        kept.run = rows.bare(run)
        self._moved.discard(run.ord)
        self._progressed.discard(run.ord)
        self._payloads.pop(run.ord, None)  # it has no end
        end = (run.ended_at_ms, run.output, rows.failure_row(run.failure))
        self._ended.append((*rows.live_row(run, kept.tail), *end))
        self._over.append(run)

    def held_by(self, holder: str) -> list[Run]:
        self.flush()
        return [self.run_at(ord) for (ord,) in self._db.execute(_SQL["held_by"], (holder,)).fetchall()]

    def held(self) -> list[Run]:
        self.flush()
        return [self.run_at(ord) for (ord,) in self._db.execute(_SQL["held"]).fetchall()]

    # -- journals

    def add_frame(self, run: Run, entries: bytes) -> None:
        self._append(run, run.epoch, run.seq, entries)

    def add_entry(self, run: Run, entry: bytes) -> None:
        self._append(run, 0, run.pos, entry)

    def journal(self, run: Run) -> Journal:
        self.flush()
        found = list(journal_rows(self._db, run.ord, self._at(run.ord).tail))
        return Journal(tuple(row[1:] for row in found if row.epoch), tuple(row.data for row in found if not row.epoch))

    def entries_after(self, run: Run, pos: int) -> tuple[bytes, ...]:
        self.flush()
        found = self._db.execute(_SQL["entries_after"], {"tail": self._at(run.ord).tail, "pos": pos}).fetchall()
        return tuple(data for (data,) in reversed(found))

    # -- writing

    def flush(self) -> None:
        """Write what was held back."""
        if self._new:
            new = self._new.values()
            self._db.executemany(_SQL["add_run"], [rows.static_row(run) for run in new])
            self._db.executemany(_SQL["add_live"], [self._live_row(ord) for ord in self._new])
            self._moved -= self._new.keys()
            self._progressed -= self._new.keys()
            self._new = {}
        if self._moved:
            self._db.executemany(_SQL["put_live"], [self._live_row(ord) for ord in self._moved])
            self._progressed -= self._moved
            self._moved = set()
        if self._progressed:
            self._db.executemany(_SQL["put_progress"], [self._progress_row(ord) for ord in self._progressed])
            self._progressed = set()
        if self._journal:
            self._db.executemany(_SQL["add_journal"], self._journal)
            self._journal = []
        if self._marks:
            self._db.executemany(_SQL["add_mark"], self._marks)
            self._marks = []
        if self._ended:
            self._db.executemany(_SQL["drop_live"], [(row[rows.ORD],) for row in self._ended])
            self._db.executemany(_SQL["add_ended"], self._ended)
            self._ended = []

    def _append(self, run: Run, epoch: int, seq: int, data: bytes) -> None:
        kept = self._at(run.ord)
        self._journal_id += 1
        self._journal.append((self._journal_id, kept.tail, run.ord, epoch, seq, data))
        kept.tail = self._journal_id
        if _is_marked(run, len(data)):
            self._marks.append((run.ord, self._journal_id))
        self._progressed.add(run.ord)

    def _live_row(self, ord: int) -> Row:
        kept = self._kept[ord]
        return rows.live_row(kept.run, kept.tail)

    def _progress_row(self, ord: int) -> Row:
        kept = self._kept[ord]
        run = kept.run
        return run.seq, run.pos, run.seen, run.steps, run.state_bytes, kept.tail, ord

    # -- what is kept in memory

    def _at(self, ord: int) -> _Kept:
        kept = self._kept.get(ord)
        return kept or self._keep(self._db.execute(_SQL["by_ord"], (ord,)).fetchone())

    def _keep(self, row: Row, *, may_wait: bool = True) -> _Kept:
        run = rows.run_of(row)
        kept = _Kept(run, rows.tail_of(row), may_wait=may_wait)
        if not run.status.is_terminal:
            self._put_into_memory(kept)
        return kept

    def _put_into_memory(self, kept: _Kept) -> None:
        self._kept[kept.run.ord] = kept
        self._ords[kept.run.id] = kept.run.ord

    def _may_wait(self, ord: int) -> bool:
        kept = self._kept.get(ord)
        return kept is None or kept.may_wait

    def _note_wait(self, ord: int) -> None:
        kept = self._kept.get(ord)
        if kept is not None:
            kept.may_wait = True

    def _forget(self, run: Run) -> None:
        self._kept.pop(run.ord, None)
        self._ords.pop(run.id, None)

    def _trim(self) -> None:
        """Forget the runs that have been kept for longest; only between transactions, when nothing is held back."""
        self._payloads = {}
        for run in self._over:
            self._forget(run)
        self._over.clear()
        while len(self._kept) > _KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)  # a plain dict would look through all that was ever removed
            del self._ords[oldest.run.id]

    def _discard(self) -> None:
        """Forget everything that a rollback may have made untrue."""
        self._kept, self._ords, self._new = OrderedDict(), {}, {}
        self._ended, self._over, self._payloads = [], [], {}
        self._progressed, self._moved, self._journal, self._marks = set(), set(), [], []
        self._journal_id = self._db.execute(_SQL["last_journal"]).fetchone()[0]


def _is_marked(run: Run, row_bytes: int) -> bool:
    """Tell whether the journal has reached a multiple of the marks' distance with its newest row."""
    return (run.state_bytes - row_bytes) // _MARK_BYTES != run.state_bytes // _MARK_BYTES


def _is_progress(old: Run, new: Run) -> bool:
    """Tell whether only counters have changed: then no index has to be touched."""
    return (
        old.status is new.status
        and old.epoch == new.epoch
        and old.generation == new.generation
        and old.holder == new.holder
        and old.cancel_reason == new.cancel_reason
        and old.strikes == new.strikes
        and old.is_paused == new.is_paused
    )
