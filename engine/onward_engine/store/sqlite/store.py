"""The store as the engine sees it: a writer's thread, a reader's thread, and the end after an I/O error."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from onward_protocol.limits import Limits, Times
from onward_protocol.messages import AppManifest, Event

from ...model import Run, StepView
from ..port import Committed, Op, RunFilter, StoreBroken, StoreRefused
from . import opening
from .connected import Connected
from .errors import describe
from .lane import InlineLane, Lane, ThreadLane
from .reads import Reads

T = TypeVar("T")


def _random_history() -> str:
    return secrets.token_hex(16)


class SqliteStore:
    """Implements `Store` on the file `path`.

    With `inline` everything happens in the caller's thread, on one connection: for simulations, also with ":memory:".
    `new_history` names the history of a new database; `history` is that name once the store is open: two files with the
    same one hold the same past.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        inline: bool = False,
        limits: Limits | None = None,
        times: Times | None = None,
        new_history: Callable[[], str] = _random_history,
    ) -> None:
        """Nothing is opened yet."""
        self.path = str(path)
        self.history = ""
        self._is_inline = inline or self.path == opening.MEMORY
        self._limits = limits or Limits()
        self._times = times or Times()
        self._new_history = new_history
        self._broken: str | None = None
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
        return await self._writer.call(partial(self._apply, self._opened(), ops))

    async def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        return await self._read(lambda reads: reads.run(run))

    async def runs(self, wanted: RunFilter) -> list[Run]:
        """Return a page of runs, newest first, without their input and output."""
        return await self._read(lambda reads: reads.runs(wanted))

    async def steps(self, run: str) -> list[StepView]:
        """Return a run's history; of an unknown run, none."""
        return await self._read(lambda reads: reads.steps(run))

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        return await self._read(lambda reads: reads.event(event))

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
        try:
            return connected.apply(ops, self._limits, self._times)
        except StoreBroken as error:
            self._broken = str(error)
            raise

    async def _read(self, question: Callable[[Reads], T]) -> T:
        reads = self._opened().reads
        try:
            return await self._reader.call(partial(question, reads))
        except sqlite3.Error as error:
            raise StoreBroken(f"the database cannot be read: {describe(error)}. Check the disk") from error

    def _close_lanes(self) -> None:
        self._reader.close()
        self._writer.close()


def _nothing() -> None:
    """Only to wait for the calls before it."""
