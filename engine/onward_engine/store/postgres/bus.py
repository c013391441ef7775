"""What engines on one database tell each other, by NOTIFY and LISTEN on a connection of its own.

A notification of the writer's transaction would take a lock of the whole database in each commit; here many messages
are one statement, and nothing waits for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from ...service import Service
from . import opening
from .errors import describe
from .link import Connection, Pause

CHANNEL = "onward"
QUEUED_MAX = 1_000
"""Messages that wait for the connection; older ones are dropped: they would come too late."""

_LOOK_S = 5.0  # a connection that has broken silently is noticed within this time and the next
_GOODBYE_S = 1.0
_NOTIFY = "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message"

# The last is what the library raises that is asked for something while its connection ends.
_BROKEN = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.bus")


class PostgresBus(Service):
    """Implements `Bus` for all engines on the database at `url`. While there is no database it carries nothing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: list[Callable[[bytes], None]] = []
        self._queue: deque[str] = deque(maxlen=QUEUED_MAX)
        self._work = asyncio.Event()
        self._is_stopping = False

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """See `Bus`."""
        self._listeners.append(listener)

    def publish(self, message: bytes) -> None:
        """See `Bus`."""
        self._queue.append(message.decode())
        self._work.set()

    async def stop(self) -> None:
        """See `Bus`."""
        self._is_stopping = True
        self._work.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_GOODBYE_S)
        await super().stop()

    async def _run(self) -> None:
        pause = Pause()
        while not self._is_stopping:
            try:
                await self._carry(pause)
            except _BROKEN as error:
                _log.debug("no messages between engines", reason=describe(error))
                await pause.wait(error)

    async def _carry(self, pause: Pause) -> None:
        """Carry messages over one connection, until that breaks or nothing more is to come."""
        connection = await opening.connect(self._url)
        try:
            await connection.execute("SET synchronous_commit = off")  # what is lost with the server has no value
            await connection.add_listener(CHANNEL, self._heard)
            pause.over()
            while not self._is_stopping or self._queue:
                await self._send(connection)
                await self._rest()
        finally:
            connection.terminate()

    async def _send(self, connection: Connection) -> None:
        """Send everything that is queued. Without anything, see whether the connection is still there."""
        messages = list(self._queue)
        self._queue.clear()
        await connection.execute(_NOTIFY, CHANNEL, messages, timeout=_LOOK_S)

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._work.wait()
        self._work.clear()

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for listener in self._listeners:
            listener(str(payload).encode())
