"""The store as the engine sees it: batches on the writer's connection, for as long as it takes, and reading beside."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
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
    Notices,
    Op,
    Rejected,
    RunFilter,
    RunPage,
    StepPage,
    StoreBroken,
    StoreError,
    StoreRefused,
)
from . import opening, quick
from .clock import DatabaseClock
from .errors import Fate, broken, describe, fate
from .kept import KeptRuns
from .link import Connection, Link, Pause
from .needs import Needs
from .reads import Reads
from .splitting import joined
from .statements import statements
from .transaction import Known, Restart, Transaction
from .values import bare
from .writing import Mark

T = TypeVar("T")

_SQL = statements("write")
_TRIES_MAX = 100_000  # days without a database; but a bug of ours must not go on for ever


class PostgresStore:
    """Implements `Store` on a PostgreSQL database, for any number of engines at the same time.

    `clock` follows the database's; `history` is the name of the database's past once the store is open.
    """

    is_shared = True

    def __init__(
        self,
        url: str,
        *,
        limits: Limits | None = None,
        times: Times | None = None,
        new_history: Callable[[], str] = opening.random_history,
    ) -> None:
        """`url` is like postgresql://user:password@host:5432/name. Nothing is opened yet."""
        self.history = ""
        self._url = url
        self._limits = limits or Limits()
        self._times = times or Times()
        self._new_history = new_history
        self._known = Known()
        self._kept = KeptRuns()
        self._next_due_at_ms: int | None = None  # as of the last batch that looked
        self._link = Link(self._connect)
        self._reads = Reads(Link(self._connect_reader))
        self._writer = secrets.token_hex(8)
        self._batches = 0
        self._drawn_on: Connection | None = None  # where the numbers of the last batch came from
        self._is_open = False
        self._broken: str | None = None

    @property
    def place(self) -> str:
        """Return where the database is, without anything secret."""
        return opening.place(self._url)

    @property
    def clock(self) -> DatabaseClock:
        """Return the database's clock."""
        return self._known.clock

    async def open(self) -> None:
        """Connect and bring the schema forward. Raises `StoreError`."""
        try:
            connection = await opening.connect(self._url)
            try:
                await opening.check(connection, self._url)
                self.history = await opening.prepare(connection, self._url, self._new_history)
                await connection.execute(_SQL["forget_writers"])
                await self._look_at_clock(connection)
            finally:
                await connection.close()
        except Exception as error:
            raise opening.explain(self._url, error) from error
        self._is_open = True

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        """See `Store`. Waits while there is no database, and never answers before it is known what is stored."""
        self._check_open()
        try:
            return await self._apply_quickly(ops) or await self._apply(ops)
        except StoreBroken as error:
            self._broken = str(error)
            raise
        except BaseException:
            self._link.drop()
            raise

    async def run(self, run: str) -> Run | None:
        """Return a run with everything in it."""
        return await self._read(lambda: self._reads.run(run))

    async def runs(self, wanted: RunFilter) -> RunPage:
        """See `Store`."""
        return await self._read(lambda: self._reads.runs(wanted))

    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        """See `Store`."""
        return await self._read(lambda: self._reads.steps(run, after, limit))

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        """See `Store`. A row's place is its number within the run."""
        return await self._read(lambda: self._reads.journal(run, after, limit_bytes))

    async def waiter(self, event: str, value: bytes) -> str | None:
        """See `Store`."""
        return await self._read(lambda: self._reads.waiter(event, value))

    async def event(self, event: str) -> Event | None:
        """Return an accepted event."""
        return await self._read(lambda: self._reads.event(event))

    async def events(self, wanted: EventFilter) -> EventPage:
        """See `Store`."""
        return await self._read(lambda: self._reads.events(wanted))

    async def events_of(self, events: Sequence[str]) -> list[Event]:
        """See `Store`."""
        return await self._read(lambda: self._reads.events_of(events))

    async def joined(self, event: str) -> tuple[str, ...]:
        """See `Store`."""
        return await self._read(lambda: self._reads.joined(event))

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        """See `Store`."""
        return await self._read(lambda: self._reads.items(kind, owner, after, limit))

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        """See `Store`."""
        return await self._read(lambda: self._reads.queued(run, ahead_max))

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        """See `Store`."""
        return await self._read(lambda: self._reads.holders(flow_key, limit))

    async def awaited(self, run: str) -> list[Awaited]:
        """See `Store`."""
        return await self._read(lambda: self._reads.awaited(run))

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """See `Store`."""
        return await self._read(lambda: self._reads.backlog(functions))

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return await self._read(lambda: self._reads.lines(function, after, limit))

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """See `Store`."""
        return await self._read(lambda: self._reads.shares(function, after, limit))

    async def functions(self) -> list[AppManifest]:
        """Return every registered app, by name."""
        return await self._read(self._reads.functions)

    async def close(self) -> None:
        """Let go of the connections. May be called twice."""
        self._is_open = False
        await self._link.close()
        await self._reads.close()

    # -- batches ------------------------------------------------------------------------------------------------------

    async def _apply_quickly(self, ops: Sequence[Op[object]]) -> Committed | None:
        """Store plain frames with one statement; None if they have to be applied like anything else.

        A lost connection leaves open whether they were stored. Then they are judged again, and those that were are
        duplicates: their worker gets the same acknowledgement.
        """
        done = quick.progress(ops, self._kept, self._known, self._limits, self._times) if quick.is_plain(ops) else None
        if done is None:
            return None
        try:
            connection = await self._link.connection(Pause())
            rows = await connection.fetch(quick.STATEMENT, *done.parameters)
        except Exception as error:
            for run in done.runs.values():
                self._kept.forget(run)
            if fate(error) in (Fate.AGAIN, Fate.SPLIT):
                return None
            raise broken(error) from error
        self._kept.note(done.tables)
        stale = done.runs.keys() - {row[0] for row in rows}
        if not stale:
            return Committed(done.outcomes, Notices(next_due_at_ms=self._next_due_at_ms))
        return await self._apply_stale(ops, done, stale)

    async def _apply_stale(self, ops: Sequence[Op[object]], done: quick.Progress, stale: set[int]) -> Committed:
        """Apply what was not written, because somebody else had written those runs meanwhile."""
        ids = {done.runs[ord] for ord in stale}
        for id in ids:
            self._kept.forget(id)
        again = [index for index, op in enumerate(ops) if isinstance(op, ApplyCheckpoint) and op.run in ids]
        committed = await self._apply([ops[index] for index in again])
        outcomes = list(done.outcomes)
        for index, outcome in zip(again, committed.outcomes, strict=True):
            outcomes[index] = outcome
        return Committed(tuple(outcomes), committed.notices)

    async def _apply(self, ops: Sequence[Op[object]]) -> Committed:
        numbers: list[int] = []
        extra, pause = Needs(), Pause()
        for tries in range(_TRIES_MAX):
            try:
                committed = await self._try(ops, numbers, extra, pause)
            except Restart as restart:
                await self._link.rollback()
                extra = restart.needs
                await pause.let_pass(tries)
                continue
            except StoreError:
                raise
            except Exception as error:
                await self._link.rollback()
                match fate(error):
                    case Fate.AGAIN:
                        await pause.wait(error)
                        continue
                    case Fate.SPLIT:
                        return await self._apply_split(ops, error)
                    case _:
                        raise broken(error) from error
            if committed is not None:
                pause.over()
                self._next_due_at_ms = committed.notices.next_due_at_ms
                return committed
        raise StoreBroken(f"a batch of {len(ops)} operations could not be stored: others were always quicker")

    async def _try(self, ops: Sequence[Op[object]], numbers: list[int], extra: Needs, pause: Pause) -> Committed | None:
        """Return None if the batch is known not to be committed."""
        connection = await self._link.connection(pause)
        if connection is not self._drawn_on:
            # A server that crashed gives out once more what it gave to a transaction that it has forgotten.
            numbers.clear()
            self._drawn_on = connection
        transaction = Transaction(connection, ops, self._known, numbers, extra)
        committed = await transaction.run(self._limits, self._times)
        self._batches += 1
        mark = Mark(self._writer, self._batches)
        if not await transaction.write(mark):
            await self._link.rollback()
        elif not await self._commit(connection, mark, pause):
            return None
        self._keep(transaction)
        return committed

    async def _commit(self, connection: Connection, mark: Mark, pause: Pause) -> bool:
        try:
            return await connection.execute("COMMIT") == "COMMIT"
        except Exception as error:  # noqa: BLE001 - whatever it was, the batch may be committed or not
            self._link.drop()
            await pause.wait(error)
            return await self._was_committed(mark, pause)

    async def _was_committed(self, mark: Mark, pause: Pause) -> bool:
        """Ask until there is an answer. If the lost transaction still lives, this waits for its end, because it holds
        the writer's row.
        """
        while True:
            connection = await self._link.connection(pause)
            try:
                batch = await connection.fetchval(_SQL["marked"], mark.writer)
                return int(batch) >= mark.batch
            except Exception as error:
                if fate(error) is not Fate.AGAIN:
                    raise broken(error) from error
                self._link.drop()
                await pause.wait(error)

    async def _apply_split(self, ops: Sequence[Op[object]], error: Exception) -> Committed:
        """Refuse the operation with the value that cannot be stored; find it by halves."""
        if len(ops) == 1:
            rejected = Rejected("unstorable", f"this cannot be stored: {describe(error)}")
            return Committed((rejected,), Notices())
        half = len(ops) // 2
        return joined(await self._apply(ops[:half]), await self._apply(ops[half:]))

    def _keep(self, transaction: Transaction) -> None:
        tables, known = transaction.tables, self._known
        known.claims.commit()
        self._kept.note(tables)
        for run in tables.new_runs.values():
            known.statics.keep(bare(run))
        for ord in tables.gone_runs():
            known.statics.forget(ord)
        known.statics.trim()
        if tables.new_apps or tables.new_pauses or tables.new_limits:
            known.apps.version = -1

    # -- connections --------------------------------------------------------------------------------------------------

    async def _connect_reader(self) -> Connection:
        """Pages are parts of an index in its order; while a table is empty, sorting it all would look as cheap."""
        connection = await self._connect()
        await connection.execute("SET enable_sort = off; SET enable_bitmapscan = off")
        return connection

    async def _connect(self) -> Connection:
        connection = await opening.connect(self._url)
        try:
            await opening.check(connection, self._url)
            if await opening.history(connection) != self.history:
                raise StoreBroken(
                    f"{self.place} is another database than before: its history has another name. "
                    "Look what happened to it, then start the engine again"
                )
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _look_at_clock(self, connection: Connection) -> None:
        asked_ms = self.clock.monotonic_ms()
        now_ms = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        self.clock.note(now_ms, asked_ms, self.clock.monotonic_ms())

    def _check_open(self) -> None:
        if self._broken is not None:
            raise StoreBroken(self._broken)
        if not self._is_open:
            raise StoreRefused("the store is not open")

    async def _read(self, question: Callable[[], Awaitable[T]]) -> T:
        self._check_open()
        pause = Pause()
        while True:
            try:
                found = await question()
            except Exception as error:
                if fate(error) is not Fate.AGAIN:
                    raise broken(error) from error
                await pause.wait(error)
            else:
                return found
