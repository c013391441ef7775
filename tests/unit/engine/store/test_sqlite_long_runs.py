"""What a run costs does not grow with its journal. SQLite counts its own instructions: no clock is needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from onward_engine.store.port import ApplyCheckpoint, Claim, GiveBack, Op, Register, StartRun
from onward_engine.store.sqlite.opening import MEMORY, open_for_writing
from onward_engine.store.sqlite.reads import Reads
from onward_engine.store.sqlite.tables import SqliteTables
from onward_engine.store.work.batch import apply_batch
from onward_protocol.codec import encode_entries
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AppManifest, FunctionManifest, StepDone

T = TypeVar("T")

SHORT, LONG = 2_000, 12_000


class Counted:
    """A database that counts the instructions of its statements."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tables = SqliteTables(db)
        self._limits = Limits()
        self._times = Times()
        self.reads = Reads(db)
        self.apply(Register(1, AppManifest("app", functions=(FunctionManifest("app/f"),))))

    def apply(self, *ops: Op[Any]) -> None:
        apply_batch(self._tables, ops, self._limits, self._times)

    def instructions(self, work: Callable[[], object]) -> int:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        self._db.set_progress_handler(tick, 1)
        work()
        self._db.set_progress_handler(None, 1)
        return count

    def run(self, name: str, steps: int) -> None:
        """Start a run and store so many steps of it."""
        self.apply(StartRun(1, name, "app/f", b""), claim(name))
        for first in range(1, steps + 1, 1_000):
            self.apply(*(frame(name, seq) for seq in range(first, min(first + 1_000, steps + 1))))


def frame(run: str, seq: int, epoch: int = 1) -> ApplyCheckpoint:
    entries = (StepDone(f"step@0#{seq:06d}", b"\x01"),)
    return ApplyCheckpoint(1, run, epoch, seq, "wrk_a", 1, encode_entries(entries), entries, None)


def claim(id: str) -> Claim:
    return Claim(1, id, "wrk_a", 1, ("app/f",), 1, journal_bytes_max=4_096)


@pytest.fixture
def counted() -> Iterator[Counted]:
    db = open_for_writing(MEMORY, lambda: "history")
    counted = Counted(db)
    counted.run("short", SHORT)
    counted.run("long", LONG)
    yield counted
    db.close()


def test_a_checkpoint_costs_the_same_at_the_end_of_a_long_run(counted: Counted) -> None:
    early = counted.instructions(lambda: counted.apply(frame("short", SHORT + 1)))
    assert counted.instructions(lambda: counted.apply(frame("long", LONG + 1))) == early


def test_a_claim_costs_the_same_however_long_the_journal_is(counted: Counted) -> None:
    counted.apply(GiveBack(1, "short", 1, "full"))
    early = counted.instructions(lambda: counted.apply(claim("second")))
    counted.apply(GiveBack(1, "short", 2, "full"), GiveBack(1, "long", 1, "full"), claim("third"))
    assert counted.instructions(lambda: counted.apply(claim("fourth"))) == early


@pytest.mark.parametrize("read", ["journal", "steps"])
def test_a_page_costs_the_same_however_long_the_journal_is(counted: Counted, read: str) -> None:
    def first(run: str) -> object:
        return counted.reads.journal(run, 0, 16_384) if read == "journal" else counted.reads.steps(run, 0, 100)

    early = counted.instructions(lambda: first("short"))
    assert counted.instructions(lambda: first("long")) == early


def test_all_pages_together_cost_as_much_as_their_rows(counted: Counted) -> None:
    def read(run: str) -> None:
        after: int | None = 0
        while after is not None:
            after = counted.reads.journal(run, after, 65_536).next

    short = counted.instructions(lambda: read("short"))
    long = counted.instructions(lambda: read("long"))
    assert long < 1.3 * short * LONG / SHORT
