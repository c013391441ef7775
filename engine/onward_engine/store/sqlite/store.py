"""The store as the engine sees it: a writer's thread, a reader's thread, and the end after an I/O error."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AppManifest, Event

from ...model import Item, Run
from ...rules.flow.facts import AHEAD_MAX, Awaited, Backlog, Holders, Line, Queued
from ..port import (
    HOLDERS_PAGE,
    ITEMS_PAGE,
    JOURNAL_PAGE_BYTES,
    LINES_PAGE,
    STEPS_PAGE,
    ApplyCheckpoint,
    Committed,
    EventFilter,
    EventPage,
    JournalPage,
    Op,
    RunFilter,
    RunPage,
    StepPage,
    StoreBroken,
    StoreRefused,
)
from ..work.checkpoint import PLAIN
from . import opening
from .connected import Connected
from .errors import describe
from .lane import InlineLane, Lane, ThreadLane
from .pace import Pace
from .reads import Reads

T = TypeVar("T")

_SMALL_BYTES_MAX = 4096
_IN_LOOP_MAX = 250
"""After so many commits on the loop one goes to the thread, and copies the log there. By themselves they fill less than
the thousand pages at which SQLite copies it within a commit; behind larger commits one of them may still do so, which
takes milliseconds.
"""


def _random_history() -> str:
    return secrets.token_hex(16)


class SqliteStore:
    """Implements `Store` on the file `path`.

    With `inline` everything happens in the caller's thread, on one connection: for simulations, also with ":memory:".
    `new_history` names the history of a new database; `history` is that name once the store is open: two files with the
    same one hold the same past.
    """

    is_shared = False

    def __init__(
        self,
        path: str | Path,
        *,
        inline: bool = False,
        limits: Limits | None = None,
        times: Times | None = None,
        new_history: Callable[[], str] = _random_history,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Nothing is opened yet."""
        self.path = str(path)
        self.history = ""
        self._is_inline = inline or self.path == opening.MEMORY
        self._limits = limits or Limits()
        self._times = times or Times()
        self._new_history = new_history
        self._broken: str | None = None
        self._clock_s = clock_s
        self._pace = Pace()
        self._in_loop = 0  # commits on the event loop since the last one in the thread
        self._connected: Connected | None = None
        self._writer: Lane = InlineLane()
        self._reader: Lane = InlineLane()

    async def open(self) -> None:
        """Open or create the file and take it for this engine alone. Raises `StoreError`."""
        if not self._is_inline:
            self._writer, self._reader = ThreadLane("onward-writer"), ThreadLane("onward-reader")
        try:
            self._connected = await self._writer.call(self._connect)
        except BaseException:
            self._close_lanes()
            raise
        self.history = self._connected.history

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        """See `Store`. After a `StoreBroken` every further call raises it at once."""
        connected = self._opened()
        if not _is_small(ops):
            return await self._writer.call(partial(self._apply, connected, ops))
        if self._pace.is_brisk and self._in_loop < _IN_LOOP_MAX:
            self._in_loop += 1
            return self._apply_timed(connected, ops)
        return await self._writer.call(partial(self._apply_and_copy, connected, ops))

    async def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        return await self._read(lambda reads: reads.run(run))

    async def runs(self, wanted: RunFilter) -> RunPage:
        """See `Store`."""
        return await self._read(lambda reads: reads.runs(wanted))

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        """See `Store`."""
        return await self._read(lambda reads: reads.steps(run, after, limit))

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        """See `Store`. A row's place is its id."""
        return await self._read(lambda reads: reads.journal(run, after, limit_bytes))

    async def waiter(self, event: str, value: bytes) -> str | None:
        """See `Store`."""
        return await self._read(lambda reads: reads.waiter(event, value))

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        return await self._read(lambda reads: reads.event(event))

    async def events(self, wanted: EventFilter) -> EventPage:
        """See `Store`."""
        return await self._read(lambda reads: reads.events(wanted))

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        """See `Store`."""
        return await self._read(lambda reads: reads.events_of(events))

    async def joined(self, event: str) -> tuple[str, ...]:
        """See `Store`."""
        return await self._read(lambda reads: reads.joined(event))

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        """See `Store`."""
        return await self._read(lambda reads: reads.items(kind, owner, after, limit))

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        """See `Store`."""
        return await self._read(lambda reads: reads.queued(run, ahead_max))

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        """See `Store`."""
        return await self._read(lambda reads: reads.holders(flow_key, limit))

    async def awaited(self, run: str) -> list[Awaited]:
        """See `Store`."""
        return await self._read(lambda reads: reads.awaited(run))

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """See `Store`."""
        return await self._read(lambda reads: reads.backlog(functions))

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return await self._read(lambda reads: reads.lines(function, after, limit))

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return await self._read(lambda reads: reads.shares(function, after, limit))

    async def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return await self._read(lambda reads: reads.functions())

    async def close(self) -> None:
        """Finish what was begun and let go of the file. May be called twice."""
        connected, self._connected = self._connected, None
        if connected is not None:
            await self._reader.call(_nothing)  # the last question is answered before its connection goes
            await self._writer.call(connected.close)
            self._close_lanes()

    def _connect(self) -> Connected:
        return Connected(self.path, is_inline=self._is_inline, new_history=self._new_history)

    def _opened(self) -> Connected:
        if self._broken is not None:
            raise StoreBroken(self._broken)
        if self._connected is None:
            raise StoreRefused("the store is not open")
        return self._connected

    def _apply(self, connected: Connected, ops: Sequence[Op[object]]) -> Committed:
        return self._guarded(partial(connected.apply, ops, self._limits, self._times))

    def _guarded(self, write: Callable[[], T]) -> T:
        """Write nothing more after the first failure."""
        try:
            return write()
        except StoreBroken as error:
            self._broken = str(error)
            raise

    def _apply_timed(self, connected: Connected, ops: Sequence[Op[object]]) -> Committed:
        begun_s = self._clock_s()
        committed = self._apply(connected, ops)
        self._pace.note((self._clock_s() - begun_s) * 1000)
        return committed

    def _apply_and_copy(self, connected: Connected, ops: Sequence[Op[object]]) -> Committed:
        """Commit in the thread, and copy there the log that the commits on the loop have filled."""
        committed = self._apply_timed(connected, ops)
        if self._in_loop:
            self._in_loop = 0
            self._guarded(connected.copy_log)
        return committed

    async def _read(self, question: Callable[[Reads], T]) -> T:
        reads = self._opened().reads
        try:
            return await self._reader.call(partial(question, reads))
        except sqlite3.Error as error:
            raise StoreBroken(f"the database cannot be read: {describe(error)}. Check the disk") from error

    def _close_lanes(self) -> None:
        self._reader.close()
        self._writer.close()


def _is_small(ops: Sequence[Op[object]]) -> bool:
    """Tell whether this is a lone checkpoint that reads nothing and writes few pages: a wait may look far back."""
    if len(ops) != 1 or not isinstance(op := ops[0], ApplyCheckpoint):
        return False
    is_plain = op.outcome is None and all(isinstance(entry, PLAIN) for entry in op.entries)
    return is_plain and len(op.raw) <= _SMALL_BYTES_MAX


def _nothing() -> None:
    """Only to wait for the calls before it."""
