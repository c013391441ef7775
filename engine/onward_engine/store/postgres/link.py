"""A connection to the server that is made again for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import structlog

from ..port import StoreBroken
from .errors import Fate, broken, describe, fate

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_PAUSE_MS = 50
_PAUSE_MS_MAX = 500  # so that a server that is back is used soon; being refused costs it next to nothing
_QUICK_TRIES = 100  # of a batch that others overtake: it takes a handful where many write the same rows

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.store")


class Pause:
    """Waits longer and longer, and says once that something is wrong, and once that it is over."""

    def __init__(self) -> None:
        """Begin without a failure."""
        self._next_ms = 0

    async def wait(self, error: BaseException) -> None:
        """Wait after a failure."""
        if self._next_ms == 0:
            _log.warning("database not available", reason=describe(error))
        self._next_ms = min(max(2 * self._next_ms, _PAUSE_MS), _PAUSE_MS_MAX)
        await asyncio.sleep(self._next_ms / 1000)

    async def let_pass(self, tries: int) -> None:
        """Let others go first, if they have overtaken a batch so often that it hardly is by chance."""
        if tries == _QUICK_TRIES:
            _log.warning("batch overtaken by others again and again", tries=tries)
        if tries >= _QUICK_TRIES:
            await asyncio.sleep(_PAUSE_MS / 1000)

    def over(self) -> None:
        """Note that it works again."""
        if self._next_ms:
            _log.info("database available again")
        self._next_ms = 0


class Link:
    """One connection, for one task at a time. `connect` makes one that is ready to be used."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    async def connection(self, pause: Pause) -> Connection:
        """Return the connection, a new one if the last one is lost. Raises `StoreError` if that can never be."""
        while self._connection is None or self._connection.is_closed():
            try:
                self._connection = await self._connect()
            except StoreBroken:
                raise
            except Exception as error:
                if fate(error) in (Fate.BROKEN, Fate.FULL):
                    raise broken(error) from error
                await pause.wait(error)
        return self._connection

    async def rollback(self) -> None:
        """End the transaction, or the connection if that does not work."""
        connection = self._connection
        if connection is None or connection.is_closed():
            return
        try:
            await connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one has no open transaction
            self.drop()

    def drop(self) -> None:
        """Cut the connection; the server rolls back what was not committed."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Say goodbye."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()
