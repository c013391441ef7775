"""From a SQLite file to PostgreSQL, once and for good: every run, event and timer goes on there.

    lock the file -> let go of connections -> seal it -> copy, compare and name the history, in one transaction there

The seal is the file's last transaction, and no engine opens a sealed file: two stores never go on with one history. A
promotion that was interrupted is repeated from the beginning; what it had copied was never committed. File and
database have one random mark, so that neither a repeat nor a withdrawal can mean another database than the first did.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from onward_protocol.limits import MIB

from .port import Boot, StoreRefused
from .postgres import opening as target
from .postgres.link import Connection
from .sqlite import SqliteStore
from .sqlite import opening as source
from .sqlite.lock import FileLock

Row = tuple[Any, ...]

CHUNK_ROWS = 2_000
"""Rows that are read, hashed and sent at a time, unless they are large."""

CHUNK_BYTES = 4 * MIB
"""When a chunk is large enough, however few rows it has."""

_WORD = 2**64
_texts = msgspec.msgpack.Decoder(list[str])


@dataclass(frozen=True, slots=True)
class Table:
    """A table of both stores. `changed` says in SQL how a column of the target is made where it is not simply the same,
    `unpacked` which columns are packed in the file and arrays in the target.
    """

    name: str
    changed: dict[str, str] = field(default_factory=dict[str, str])
    joined: str = ""
    unpacked: tuple[str, ...] = ()


_TAIL = {"tail": "coalesce(counted.n, 0)", "version": "1"}
_COUNTED = "LEFT JOIN (SELECT run, count(*) AS n FROM journal GROUP BY run) AS counted ON counted.run = {name}.ord"

TABLES = (
    Table("app"),
    Table("run", unpacked=("events",)),
    Table("live", _TAIL, _COUNTED),
    Table("ended", {"tail": _TAIL["tail"]}, _COUNTED),
    Table("journal", {"n": "row_number() OVER (PARTITION BY run ORDER BY id)"}),
    Table("event"),
    Table("answer"),
    Table("queue"),
    Table("place"),
    Table("wait"),
    Table("item"),
    Table("tag"),
    Table("session"),
)


class Sum:
    """Counts rows and adds up their hashes, so that two tables compare whatever order their rows come in."""

    def __init__(self) -> None:
        self.rows = 0
        self.hash = 0
        self.largest = 0

    def add(self, row: Row) -> None:
        """Add a row."""
        packed = msgspec.msgpack.encode(row)
        digest = blake2b(packed, digest_size=8).digest()
        self.rows += 1
        self.largest = max(self.largest, len(packed))
        self.hash = (self.hash + int.from_bytes(digest, "big")) % _WORD

    @property
    def figures(self) -> tuple[int, int]:
        """What has to be equal."""
        return self.rows, self.hash


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was copied: rows by table. `is_new` False: it had been promoted there before."""

    rows: dict[str, int]
    history: str
    is_new: bool = True


async def promote(path: Path, url: str, *, now_ms: int, adoption_ms: int, note: Callable[[str], None]) -> Promoted:
    """Move everything to PostgreSQL and seal the file. `note` hears of each table. May be repeated after any failure.

    Runs that were executing wait `adoption_ms` for their workers, as after a start of an engine. Raises `StoreError`.
    """
    history = await _let_go(path, now_ms, adoption_ms)
    lock = FileLock(path)
    try:
        async with _target(url) as connection:
            if await _meta(connection, "history") == history:
                return Promoted({}, history, is_new=False)
            await _check_idle(connection)
            await _check_empty(connection)
            await _join(path, connection, history)
            return Promoted(await _copy_all(path, connection, history, note), history)
    finally:
        lock.release()


async def withdraw(path: Path, url: str) -> None:
    """Take a promotion back: empty the target and open the file again. Raises `StoreRefused` once an engine worked
    there: what it accepted is nowhere else.
    """
    lock = FileLock(path)
    try:
        async with _target(url) as connection, connection.transaction():
            await _check_is_the_one(path, connection)
            if await connection.fetchval("SELECT count(*) FROM writer"):
                raise StoreRefused(
                    "an engine has worked on the new database: going back would lose what it accepted. "
                    "Keep the new database"
                )
            for table in TABLES:
                await connection.execute(f"TRUNCATE {table.name}")
            await connection.execute(_PUT_HISTORY, target.random_history())
        with closing(source.open_for_writing(str(path), str, is_sealed_welcome=True)) as db:
            db.execute("DELETE FROM meta WHERE key IN (?, ?)", (source.SEALED, source.SEALED_FOR))
    finally:
        lock.release()


async def _let_go(path: Path, now_ms: int, adoption_ms: int) -> str:
    """Let every run wait for its worker, as an engine does that starts; return the name of the file's history."""
    if sealed := source.sealed_history(path):
        return sealed
    store = SqliteStore(path, inline=True)
    await store.open()
    try:
        await store.apply((Boot(now_ms=now_ms, claimable_at_ms=now_ms + adoption_ms),))
    finally:
        await store.close()
    return store.history


async def _join(path: Path, connection: Connection, history: str) -> None:
    """Mark file and database as belonging together, the database first: a seal says where everything goes."""
    if source.sealed_history(path) is not None:
        await _check_joined(path, connection)
        return
    mark = target.random_history()
    await connection.execute(_PUT_MARK, mark)
    with closing(source.open_for_writing(str(path), str, is_sealed_welcome=True)) as db:
        rows = ((source.SEALED, history), (source.SEALED_FOR, mark))
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rows)
        db.execute("COMMIT")


async def _check_joined(path: Path, connection: Connection) -> None:
    mark = source.sealed_for(path)
    if mark is None or await _meta(connection, _MARK) != mark:
        raise StoreRefused(
            f"{path} was promoted to another database. Name that one; a promotion there that was never finished can be "
            "taken back with --undo"
        )


async def _check_idle(connection: Connection) -> None:
    """Refuse a database that an engine works on: it would go on with a history that is not there any more."""
    if await connection.fetchval(_WORKING, _SILENT_MS):
        raise StoreRefused("an engine works on the new database. Stop it, then promote")


@asynccontextmanager
async def _target(url: str) -> AsyncGenerator[Connection]:
    try:
        connection = await target.connect(url)
    except Exception as error:
        raise target.explain(url, error) from error
    try:
        await target.check(connection, url)
        await target.prepare(connection, url, target.random_history)
        await connection.execute(_AT_LEISURE)
        yield connection
    except asyncpg.PostgresError as error:
        raise target.explain(url, error) from error
    finally:
        await connection.close()


async def _meta(connection: Connection, key: str) -> str | None:
    value: str | None = await connection.fetchval("SELECT value FROM meta WHERE key = $1", key)
    return value


async def _check_empty(connection: Connection) -> None:
    for table in TABLES:
        if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table.name})"):  # noqa: S608 - a name of ours
            raise StoreRefused(
                "the new database has runs of another history already. Name an empty database: nothing is mixed"
            )


async def _check_is_the_one(path: Path, connection: Connection) -> None:
    """Refuse a file that is not sealed, and a database that has what came from another one."""
    sealed = source.sealed_history(path)
    if sealed is None:
        raise StoreRefused(f"{path} was not promoted, so there is nothing to take back")
    await _check_joined(path, connection)
    if await _meta(connection, "history") != sealed:
        await _check_empty(connection)


async def _copy_all(path: Path, connection: Connection, history: str, note: Callable[[str], None]) -> dict[str, int]:
    counts: dict[str, int] = {}
    with closing(source.open_for_reading(str(path))) as db:
        async with connection.transaction():
            for table in TABLES:
                counts[table.name] = await _copy(db, connection, table)
                note(f"{table.name}: {counts[table.name]:,} rows")
            await connection.execute("UPDATE catalog SET version = version + 1")
            await connection.execute("SELECT setval('ord', $1)", max(1, _last_ord(db)))
            await connection.execute(_PUT_HISTORY, history)
    return counts


async def _copy(db: sqlite3.Connection, connection: Connection, table: Table) -> int:
    columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table.name)]
    sent = Sum()
    packed = [columns.index(column) for column in table.unpacked]
    for chunk in _chunks(db, _select(table, columns), packed, sent):
        await connection.copy_records_to_table(table.name, records=chunk, columns=columns)
    arrived = Sum()
    select = f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608 - names of ours
    async for row in connection.cursor(select, prefetch=_rows_at_a_time(sent.largest)):
        arrived.add(tuple(row))
    if arrived.figures != sent.figures:
        raise StoreRefused(f"the copy of table {table.name} differs from the file; nothing was kept. Try again")
    return sent.rows


_AT_LEISURE = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"
"""The file's journal is put in order before its first row comes: that may take minutes."""

_MARK = "receives"
_PUT_MARK = """
INSERT INTO meta (key, value) VALUES ('receives', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
_SILENT_MS = 60_000
_WORKING = """
SELECT EXISTS (SELECT 1 FROM replica WHERE beat_at_ms > extract(epoch FROM clock_timestamp()) * 1000 - $1::bigint)
"""
_PUT_HISTORY = "UPDATE meta SET value = $1 WHERE key = 'history'"
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position
"""


def _select(table: Table, columns: list[str]) -> str:
    made = (f"{table.changed.get(column, f'{table.name}.{column}')} AS {column}" for column in columns)
    joined = table.joined.format(name=table.name)
    return f"SELECT {', '.join(made)} FROM {table.name} {joined}"  # noqa: S608 - names of ours


def _chunks(db: sqlite3.Connection, select: str, packed: list[int], sent: Sum) -> Iterator[list[Row]]:
    cursor = db.execute(select)
    chunk: list[Row] = []
    size = 0
    for found in cursor:
        row = _unpacked(found, packed)
        sent.add(row)
        chunk.append(row)
        size += _size(row)
        if len(chunk) == CHUNK_ROWS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _rows_at_a_time(largest: int) -> int:
    """Return how many rows are read back at once, if one of them may be this large."""
    return max(1, min(CHUNK_ROWS, 8 * CHUNK_BYTES // largest)) if largest else CHUNK_ROWS


def _size(row: Row) -> int:
    return sum(len(value) for value in row if isinstance(value, bytes))


def _unpacked(row: Row, packed: list[int]) -> Row:
    if not packed:
        return row
    values = list(row)
    for index in packed:
        values[index] = _texts.decode(values[index])
    return tuple(values)


def _last_ord(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'last_ord'").fetchone()
    return 0 if row is None else int(row[0])
