"""A PostgreSQL of the benchmark's own, with the server's default settings, and what it costs by itself.

* `select_us`: the smallest question and its answer, with the driver that the engine uses.
* `commit_us`: a transaction that inserts one row of 100 bytes, flushed.
* `group_us`: a transaction that inserts 100 such rows with one statement, flushed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.support.postgres import PostgresServer, why_not

from .primitives import GROUP_ROWS, PAYLOAD, WARM_UP

DEFAULTS = {"shared_buffers": "128MB", "max_wal_size": "1GB", "autovacuum_naptime": "1min"}
INSERT = "INSERT INTO probe (data) SELECT unnest($1::bytea[])"


@dataclass(frozen=True)
class Costs:
    """Medians of one round, in microseconds."""

    select_us: float
    commit_us: float
    group_us: float

    @property
    def rows_per_s(self) -> float:
        """Rows a second that the server makes durable in groups of 100, over one connection."""
        return GROUP_ROWS / self.group_us * 1e6


@dataclass(frozen=True)
class Database:
    """A running server. Each part of a benchmark has a database of its own in it."""

    server: PostgresServer
    connection: asyncpg.Connection[asyncpg.Record]

    async def costs(self, samples: int, groups: int) -> Costs:
        """Measure the server now."""
        ask = self.connection
        return Costs(
            await _median_us(lambda: ask.fetchval("SELECT 1"), samples),
            await _median_us(lambda: ask.execute(INSERT, [PAYLOAD]), samples),
            await _median_us(lambda: ask.execute(INSERT, [PAYLOAD] * GROUP_ROWS), groups),
        )

    async def wal_bytes(self) -> int:
        """Return how much the server has written to its log, ever."""
        return int(await self.connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    async def size_bytes(self, url: str) -> int:
        """Return how large a database is, its indexes included."""
        return int(await self.connection.fetchval("SELECT pg_database_size($1)", url.rpartition("/")[2]))

    async def connections(self, url: str) -> int:
        """Return how many connections engines have to a database."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'onward' AND datname = $1"
        return int(await self.connection.fetchval(query, url.rpartition("/")[2]))


@asynccontextmanager
async def database(home: Path) -> AsyncGenerator[Database]:
    """Start a server in this folder, and end it."""
    if reason := why_not():
        raise SystemExit(f"the benchmark {reason}")
    server = _server(home)
    server.start()
    try:
        connection = await asyncpg.connect(server.url())
        await connection.execute("CREATE TABLE probe (id bigserial PRIMARY KEY, data bytea NOT NULL)")
        yield Database(server, connection)
        await connection.close()
    finally:
        server.stop()


def _server(home: Path) -> PostgresServer:
    server = PostgresServer(home.absolute())
    server.settings |= DEFAULTS
    return server


async def _median_us(ask: Callable[[], Awaitable[object]], count: int) -> float:
    taken: list[float] = []
    for n in range(count + WARM_UP):
        begun = time.perf_counter()
        await ask()
        if n >= WARM_UP:
            taken.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(taken)
