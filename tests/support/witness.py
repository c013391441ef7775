"""What was made durable, in its order, seen from between the engine and its store; and the disk below, which outlives
every engine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from onward_engine.model import Item, Run
from onward_engine.rules.flow.facts import AHEAD_MAX, Awaited, Backlog, Holders, Line, Queued
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import (
    HOLDERS_PAGE,
    ITEMS_PAGE,
    JOURNAL_PAGE_BYTES,
    LINES_PAGE,
    STEPS_PAGE,
    Applied,
    ApplyCheckpoint,
    Committed,
    EventFilter,
    EventPage,
    JournalPage,
    Op,
    RunFilter,
    RunPage,
    StepPage,
)
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.tables import Tables
from onward_protocol.messages import AppManifest, Event, StepDone

from tests.support.ledger import now_ms
from tests.support.situations import misplaced, unlisted

Moment = Literal["before", "after"]

COMPLAINTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Record:
    """One operation that was made durable."""

    at_ms: int
    op: Op[object]
    outcome: Any


class Witness:
    """Everything that was made durable, over all engines."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.finished: list[str] = []
        self.values: dict[tuple[str, str], str] = {}
        self.complaints: list[str] = []
        self.changed = asyncio.Event()

    def note(self, ops: Sequence[Op[object]], committed: Committed) -> None:
        """Note one transaction."""
        for op, outcome in zip(ops, committed.outcomes, strict=True):
            self.records.append(Record(now_ms(), op, outcome))
            if isinstance(op, ApplyCheckpoint) and isinstance(outcome, Applied) and outcome.verdict == "applied":
                self._note_values(op)
        self.finished += committed.notices.finished
        self.changed.set()

    def look(self, ops: Sequence[Op[object]], committed: Committed, runs: Sequence[Run], tables: Tables) -> None:
        """Look at the rows as one transaction has left them; a few complaints are enough."""
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints += misplaced(runs, tables)
            self.complaints += unlisted(ops, committed.outcomes, tables)

    def _note_values(self, op: ApplyCheckpoint) -> None:
        for entry in op.entries:
            if isinstance(entry, StepDone):
                value = msgspec.msgpack.decode(entry.output, type=str)
                self.values[op.run, value.partition("#")[0]] = value


class Disk:
    """What all engines of a simulation write to, one after the other. `delay_ms` is how long half a commit may take."""

    def __init__(self, witness: Witness, rng: random.Random, path: Path | None, *, is_shared: bool = False) -> None:
        self.witness = witness
        self.delay_ms = (0.0, 0.0)
        self.commits = 0
        self._rng = rng
        self._path = path
        self._store: MemoryStore | SqliteStore = MemoryStore(is_shared=is_shared)
        self._mounted: WitnessedStore | None = None
        self._crash: tuple[int, Moment, Callable[[], object]] | None = None

    def mount(self) -> WitnessedStore:
        """Return the store for the next engine."""
        if self._path is not None:
            self._store = SqliteStore(self._path, inline=True, new_history=lambda: "simulation")
        self._mounted = WitnessedStore(self, self._store)
        return self._mounted

    def unmount(self) -> None:
        """Let go of the file, as the end of a process does. What that process still asks is never answered."""
        if self._mounted is not None:
            self._mounted.is_gone = True
        if isinstance(self._store, SqliteStore):
            _at_once(self._store.close())

    @property
    def tables(self) -> Tables:
        """What is on it."""
        if isinstance(self._store, MemoryStore):
            return self._store._tables
        assert self._store._connected is not None, "nobody has mounted it"
        return self._store._connected.tables

    def runs(self) -> list[Run]:
        """Return all runs, oldest first, as far as somebody has mounted the disk."""
        if isinstance(self._store, MemoryStore):
            return list(self._store._tables.runs.values())
        connected = self._store._connected
        return list(connected.reads.runs(RunFilter(limit=100_000)).runs[::-1]) if connected else []

    def crash_at(self, commits: int, moment: Moment, crash: Callable[[], object]) -> None:
        """Call `crash` right before or after so many more commits."""
        self._crash = (commits, moment, crash)

    def forget_crash(self) -> None:
        """Do not crash after all."""
        self._crash = None

    @property
    def has_crash(self) -> bool:
        """Say whether a crash is still to come."""
        return self._crash is not None

    async def half(self, moment: Moment) -> None:
        """Spend half of the time of a commit, or die in it."""
        if self._crash is not None and self._crash[1] == moment:
            commits, _, crash = self._crash
            self._crash = (commits - 1, moment, crash) if commits > 1 else None
            if self._crash is None:
                crash()
        if any(self.delay_ms):
            await asyncio.sleep(self._rng.uniform(*self.delay_ms) / 1000)


class WitnessedStore:
    """One engine's store: hands everything on to the disk, and tells the witness."""

    def __init__(self, disk: Disk, store: MemoryStore | SqliteStore) -> None:
        self.is_gone = False
        self.reachable = asyncio.Event()
        self.reachable.set()
        self._disk = disk
        self._store = store

    @property
    def is_shared(self) -> bool:
        return self._store.is_shared

    async def open(self) -> None:
        await self._store.open()

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        await self.reachable.wait()
        await self._disk.half("before")
        if self.is_gone:
            await asyncio.get_running_loop().create_future()
        committed = await self._store.apply(ops)
        self._disk.commits += 1
        self._disk.witness.note(ops, committed)
        if isinstance(self._store, MemoryStore):
            self._disk.witness.look(ops, committed, self._disk.runs(), self._disk.tables)
        await self._disk.half("after")
        return committed

    async def run(self, run: str) -> Run | None:
        return await self._store.run(run)

    async def runs(self, wanted: RunFilter) -> RunPage:
        return await self._store.runs(wanted)

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        return await self._store.steps(run, after, limit)

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        return await self._store.journal(run, after, limit_bytes)

    async def events(self, wanted: EventFilter) -> EventPage:
        return await self._store.events(wanted)

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        return await self._store.events_of(events)

    async def joined(self, event: str) -> tuple[str, ...]:
        return await self._store.joined(event)

    async def waiter(self, event: str, value: bytes) -> str | None:
        return await self._store.waiter(event, value)

    async def event(self, event: str) -> Event | None:
        return await self._store.event(event)

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        return await self._store.items(kind, owner, after, limit)

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        return await self._store.queued(run, ahead_max)

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        return await self._store.holders(flow_key, limit)

    async def awaited(self, run: str) -> list[Awaited]:
        return await self._store.awaited(run)

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        return await self._store.backlog(functions)

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        return await self._store.lines(function, after, limit)

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        return await self._store.shares(function, after, limit)

    async def functions(self) -> list[AppManifest]:
        return await self._store.functions()

    async def close(self) -> None:
        await self._store.close()


def _at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("an inline store never waits")
