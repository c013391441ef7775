"""Runs and their journals.

Runs that are not over are kept in memory as well: this process is the only one that writes, so what it wrote is what
is there. Changes are held back and written together: a run that got ten frames in one transaction is updated once.
Every statement that reads these rows flushes first.
"""

from __future__ import annotations

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
    """A run in memory, and the id of its last journal row."""

    __slots__ = ("run", "tail")

    def __init__(self, run: Run, tail: int) -> None:
        self.run = run
        self.tail = tail


class RunRows:
    """Runs by id and ord, by holder, and their journals."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._kept: dict[int, _Kept] = {}
        self._ords: dict[str, int] = {}
        self._new: dict[int, Run] = {}
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
        self.flush()
        return rows.with_payloads(run, self._db.execute(_SQL["payloads"], (run.ord,)).fetchone())

    def add_run(self, run: Run) -> None:
        self._new[run.ord] = run
        self._kept[run.ord] = _Kept(rows.bare(run), 0)
        self._ords[run.id] = run.ord

    def put_run(self, run: Run) -> None:
        kept = self._at(run.ord)
        if _is_progress(kept.run, run):
            self._progressed.add(run.ord)
        else:
            self._moved.add(run.ord)
        kept.run = run

    def end_run(self, run: Run) -> None:
        tail = self._at(run.ord).tail
        self.flush()
        self._forget(run)
        self._db.execute(_SQL["drop_live"], (run.ord,))
        end = (run.ended_at_ms, run.output, rows.failure_row(run.failure))
        self._db.execute(_SQL["add_ended"], (*rows.live_row(run, tail), *end))

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

    def _keep(self, row: Row) -> _Kept:
        kept = _Kept(rows.run_of(row), rows.tail_of(row))
        if not kept.run.status.is_terminal:
            self._kept[kept.run.ord] = kept
            self._ords[kept.run.id] = kept.run.ord
        return kept

    def _forget(self, run: Run) -> None:
        self._kept.pop(run.ord, None)
        self._ords.pop(run.id, None)

    def _trim(self) -> None:
        """Forget the runs that have been kept for longest; only between transactions, when nothing is held back."""
        while len(self._kept) > _KEPT_MAX:
            self._forget(self._kept[next(iter(self._kept))].run)

    def _discard(self) -> None:
        """Forget everything that a rollback may have made untrue."""
        self._kept, self._ords, self._new = {}, {}, {}
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
    )
