"""Connecting: may this server be used at all, and does the database have the newest schema."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from ..port import StoreError, StoreRefused
from .errors import describe
from .link import Connection

SCHEMA = "onward"
_VERSION_MIN = 140_000
_CONNECT_S = 10.0
_STATEMENT_MS = 30_000
_CLIENT_S = 45.0
_STATEMENTS = 200  # kept prepared; a batch's statements differ by the tables that it reads and writes
_LOCK = (0x4F6E7710, 0)  # taken while the schema is brought forward
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")

_TYPES = "SELECT $1::text[], $2::bigint[], $3::int[], $4::bytea[], $5::boolean[], array_agg(row(1))"
"""The types of all statements: the driver asks the server about each when it meets it first, better now than later."""

_ESCAPES = "Write / ? # and @ in it as %2F %3F %23 and %40"

SETTINGS = {
    "application_name": "onward",
    "search_path": SCHEMA,
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "statement_timeout": str(_STATEMENT_MS),
    # An engine that stands still, or that is gone without a word, must not keep its locks.
    "idle_in_transaction_session_timeout": "10000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # Plans are made once for each statement, when its tables may be empty: they must be good for full ones.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class Server(NamedTuple):
    """What a server says of itself."""

    version: int
    is_standby: bool
    off: tuple[str, ...]


async def connect(url: str) -> Connection:
    """Return a new connection. Raises what asyncpg and the system raise, and `StoreRefused`; see `explain`."""
    _check_address(url)
    connection: Connection = await asyncpg.connect(
        url, timeout=_CONNECT_S, command_timeout=_CLIENT_S, statement_cache_size=_STATEMENTS, server_settings=SETTINGS
    )
    await connection.fetch(_TYPES, [], [], [], [], [])
    return connection


async def check(connection: Connection, url: str) -> None:
    """Raise `StoreRefused` if what this server acknowledges may be lost."""
    row = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), "
        "(SELECT array_agg(name) FROM unnest($1::text[]) AS name WHERE current_setting(name) = 'off')",
        list(_MUST_BE_ON),
    )
    assert row is not None
    server = Server(row[0], row[1], tuple(row[2] or ()))
    if server.version < _VERSION_MIN:
        raise StoreRefused(
            f"{place(url)} is PostgreSQL {server.version // 10_000}; Onward needs {_VERSION_MIN // 10_000} or newer"
        )
    if server.is_standby:
        raise StoreRefused(f"{place(url)} is a standby, which cannot be written. Name the primary server")
    if server.off:
        raise StoreRefused(
            f"{place(url)} has {' and '.join(server.off)} off: what it acknowledges may be lost. Switch it on"
        )


async def prepare(connection: Connection, url: str, new_history: Callable[[], str]) -> str:
    """Bring the schema forward, one engine at a time, and return the name of the database's history.

    There is no way back: an older engine refuses the database.
    """
    await connection.execute("SET statement_timeout = 0")
    await connection.execute(f"SELECT pg_advisory_lock({_LOCK[0]}, {_LOCK[1]})")
    try:
        await _migrate(connection, url, new_history)
    finally:
        await connection.execute(f"SELECT pg_advisory_unlock({_LOCK[0]}, {_LOCK[1]})")
        await connection.execute("RESET statement_timeout")
    return await history(connection)


async def version(connection: Connection) -> int:
    """Return the number of the database's schema; 0 if it has none of ours."""
    if await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.meta')") is None:
        return 0
    return int(await connection.fetchval("SELECT value FROM meta WHERE key = 'schema'") or 0)


def newest() -> int:
    """Return the number of the newest schema that this engine knows."""
    return len(_scripts())


async def history(connection: Connection) -> str:
    """Return the name that the database's history got when it was made."""
    return str(await connection.fetchval("SELECT value FROM meta WHERE key = 'history'"))


def random_history() -> str:
    """Return a name for a new history."""
    return secrets.token_hex(16)


def explain(url: str, error: BaseException) -> StoreError:
    """Return a failure to open as a sentence for whoever started the engine, without the password."""
    if isinstance(error, StoreError):
        return error
    what, advice = _words(url, error)
    if isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError):
        return StoreRefused(f"{place(url)} {what}. {advice}")  # its words quote what is no number
    return StoreRefused(f"{place(url)} {what}: {describe(error)}. {advice}")


def _words(url: str, error: BaseException) -> tuple[str, str]:
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "does not let us in", "Check user and password in the address"
        case asyncpg.InvalidCatalogNameError():
            return "is missing", f"Create it: CREATE DATABASE {_database(url)}"
        case asyncpg.InsufficientPrivilegeError():
            advice = f"GRANT CREATE ON DATABASE {_database(url)} TO ..."
            return "gives us no schema of our own", f"The user needs one: {advice}"
        case asyncpg.PostgresError():
            return "cannot be opened", "Look at the server's log"
        case asyncpg.ClientConfigurationError() | ValueError():
            return "has no valid address", "Write it like postgresql://user:password@host:5432/name"
        case _:
            return "cannot be reached", "Is the server running, and are its address and sslmode right?"


def place(url: str) -> str:
    """Return host and database of an address, and nothing secret."""
    try:
        parts = urlsplit(url)
        return f"the database {_database(url)} at {parts.hostname or 'localhost'}:{parts.port or 5432}"
    except ValueError:
        return "the database"


def _check_address(url: str) -> None:
    """Refuse a password with a sign that ends it: a part of it would pass for the database's name, and be shown."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise StoreRefused("the address of the database has a password with a sign in it that ends it. " + _ESCAPES)


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/") or (urlsplit(url).username or "")


async def _migrate(connection: Connection, url: str, new_history: Callable[[], str]) -> None:
    scripts = _scripts()
    found = await version(connection)
    if found > len(scripts):
        raise StoreRefused(
            f"{place(url)} has schema {found}; this engine knows schemas up to {len(scripts)}. "
            "Start the newer Onward that wrote it"
        )
    for number in range(found + 1, len(scripts) + 1):
        async with connection.transaction():
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            await connection.execute(scripts[number - 1])
            if number == 1:
                await _put_meta(connection, "history", new_history())
            await _put_meta(connection, "schema", str(number))


async def _put_meta(connection: Connection, key: str, value: str) -> None:
    await connection.execute(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
    )


def _scripts() -> list[str]:
    folder = files("onward_engine.store.postgres").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [folder.joinpath(name).read_text("utf-8") for name in names]
