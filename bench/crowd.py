"""Workers without a process of their own: the wire's own session on a WebSocket, nothing to do, beating on time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from onward.address import socket_url
from onward_protocol.holdings import Holdings
from onward_protocol.ids import uuid7_id
from onward_protocol.lease import Lease
from onward_protocol.limits import SUBPROTOCOL, VERSIONS
from onward_protocol.messages import AppManifest, Hello
from onward_protocol.session import Vitals, WorkerSession
from onward_protocol.states import Phase
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

SLOTS = 100
WELCOME_S = 30
AT_ONCE = 50
"""Connections that are being opened at the same time."""


class Idler:
    """One worker that has room and never gets anything."""

    def __init__(self, number: int, apps: tuple[AppManifest, ...]) -> None:
        instance = uuid7_id("wrk", time.time_ns() // 1_000_000, number.to_bytes(10, "big"))
        hello = Hello(versions=VERSIONS, instance=instance, slots=SLOTS, apps=apps)
        self.beats = 0
        self.welcome = asyncio.Event()
        self._session = WorkerSession(
            hello, holdings=Holdings(), vitals=self._vitals, lease=Lease(), now_ms=monotonic_ms()
        )

    async def live(self, connection: ClientConnection) -> None:
        """Greet, then beat until this is cancelled."""
        while True:
            while self._session.wants_write:
                for message in self._session.messages_to_send(monotonic_ms()):
                    await connection.send(message)
            await self._wait(connection)
            self._session.tick(monotonic_ms())

    async def _wait(self, connection: ClientConnection) -> None:
        """Take one message, or return when it is time for a beat."""
        deadline_ms = self._session.deadline_ms
        assert deadline_ms is not None, "a live session has something to wait for"
        try:
            async with asyncio.timeout(max(0, deadline_ms - monotonic_ms()) / 1000):
                message = await connection.recv(decode=False)
        except TimeoutError:
            return
        self._session.receive(message, monotonic_ms())
        if self._session.phase is Phase.OPEN:
            self.welcome.set()

    def _vitals(self) -> Vitals:
        self.beats += 1
        return Vitals(free_slots=SLOTS)


@asynccontextmanager
async def crowd(url: str, token: str, count: int, apps: tuple[AppManifest, ...]) -> AsyncGenerator[Sequence[Idler]]:
    """Connect so many workers, yield when the engine has welcomed all of them, and hang up."""
    room, idlers, living = asyncio.Semaphore(AT_ONCE), list[Idler](), list[asyncio.Task[None]]()

    async def come(number: int) -> None:
        async with room:
            connection = await connected(stack, socket_url(url), token)
            one = Idler(number, apps)
            idlers.append(one)
            living.append(asyncio.create_task(one.live(connection)))
            await asyncio.wait_for(one.welcome.wait(), WELCOME_S)

    async with AsyncExitStack() as stack:
        try:
            await asyncio.gather(*map(come, range(count)))
            yield idlers
            for ended in [task for task in living if task.done()]:
                ended.result()
        finally:
            for task in living:
                task.cancel()
            await asyncio.gather(*living, return_exceptions=True)


async def connections_to(stack: AsyncExitStack, url: str, count: int) -> list[ClientConnection]:
    """Open so many connections that say nothing; `stack` closes them."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> ClientConnection:
        async with room:
            return await connected(stack, url)

    return await asyncio.gather(*(one() for _ in range(count)))


async def connected(stack: AsyncExitStack, url: str, token: str = "") -> ClientConnection:
    """Open a connection; `stack` closes it. With a token it is a worker's."""
    connection = await connect(
        url,
        subprotocols=[Subprotocol(SUBPROTOCOL)] if token else None,
        additional_headers={"Authorization": f"Bearer {token}"} if token else None,
        compression=None,
        ping_interval=None,
        close_timeout=1,
    )
    stack.push_async_callback(connection.close)
    return connection


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
