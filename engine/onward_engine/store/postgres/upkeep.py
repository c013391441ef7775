"""Looking after a database without an engine: bring its schema forward, check it. For copies PostgreSQL has tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ..checks import CHECKS, problems
from ..port import StoreRefused
from . import opening
from .link import Connection

_PATIENCE_S = 24 * 60 * 60.0  # a check reads whole tables, however large they are
_WHOLE_TABLES = """
SET statement_timeout = 0; SET enable_seqscan = on; SET enable_hashjoin = on; SET enable_mergejoin = on
"""


async def migrate(url: str) -> tuple[int, int]:
    """Bring the schema forward, or make it; return the number that it had and the one that it has. Raises `StoreError`.

    Engines may be at work: they refuse only a schema that is newer than they know, and that when they start.
    """
    async with _connected(url) as connection:
        await opening.check(connection, url)
        before = await opening.version(connection)
        await opening.prepare(connection, url, opening.random_history)
        return before, await opening.version(connection)


async def check(url: str) -> list[str]:
    """Return what is wrong with a database, a sentence each: settings of the server under which what was acknowledged
    may be lost, and runs that nobody would ever move.

    Reads one moment's state; engines may work on it. Raises `StoreError` if it is no database of an engine.
    """
    async with _connected(url) as connection:
        found = await _server_problems(connection, url)
        await _check_schema(connection, url)
        await connection.execute(_WHOLE_TABLES)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, statement in CHECKS.items():
                found += problems(name, map(tuple, await connection.fetch(statement, timeout=_PATIENCE_S)))
        return found


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[Connection]:
    try:
        connection = await opening.connect(url)
        try:
            yield connection
        finally:
            await connection.close()
    except Exception as error:
        raise opening.explain(url, error) from error


async def _server_problems(connection: Connection, url: str) -> list[str]:
    try:
        await opening.check(connection, url)
    except StoreRefused as refused:
        return [str(refused)]
    return []


async def _check_schema(connection: Connection, url: str) -> None:
    version = await opening.version(connection)
    if version == 0:
        raise StoreRefused(f"{opening.place(url)} is not the database of an engine. Name another one with --db")
    if version != opening.newest():
        raise StoreRefused(
            f"{opening.place(url)} has schema {version}, and this Onward checks schema {opening.newest()}. "
            "Bring the older one forward: worker engine migrate, or the newer Onward"
        )
