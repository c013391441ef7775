"""A poor line between a worker and its engine: every byte comes late, and only so many come in a second."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Self

CHUNK_BYTES = 1024
BUFFER_BYTES = 16 * 1024  # the kernel must not take in a moment what the line carries in a minute

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
UnderWay = asyncio.Queue[tuple[float, bytes]]


@dataclass
class SlowRoad:
    """A TCP proxy to `port` on a thread of its own; `latency_s` each way, `bytes_s` in each direction."""

    port: int
    latency_s: float
    bytes_s: int
    connections: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __enter__(self) -> Self:
        self._server = self._loop.run_until_complete(self._listen())
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self) -> asyncio.Server:
        listener = _narrow()
        listener.bind(("127.0.0.1", 0))
        return await asyncio.start_server(self._carry, sock=listener, limit=CHUNK_BYTES)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await self._dial()
        try:
            async with asyncio.TaskGroup() as group:
                for way in ((reader, far_writer), (far_reader, writer)):
                    under_way: UnderWay = asyncio.Queue()
                    group.create_task(self._take(way[0], under_way))
                    group.create_task(self._deliver(under_way, way[1]))
        finally:
            for end in (writer, far_writer):
                end.close()
                with suppress(ConnectionError, asyncio.CancelledError):
                    await end.wait_closed()

    async def _dial(self) -> Streams:
        opened = _narrow()
        await self._loop.sock_connect(opened, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=opened, limit=CHUNK_BYTES)

    async def _take(self, source: asyncio.StreamReader, under_way: UnderWay) -> None:
        """Take from the sender as fast as the line is."""
        piece = b"any"
        while piece:
            try:
                piece = await source.read(CHUNK_BYTES)
            except ConnectionError:
                piece = b""
            await asyncio.sleep(len(piece) / self.bytes_s)
            under_way.put_nowait((self._loop.time() + self.latency_s, piece))

    async def _deliver(self, under_way: UnderWay, target: asyncio.StreamWriter) -> None:
        """Hand each piece over when it is due; an empty one is the end."""
        while True:
            due, piece = await under_way.get()
            await asyncio.sleep(due - self._loop.time())
            if not piece or target.is_closing():
                break
            target.write(piece)
        target.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _narrow() -> socket.socket:
    opened = socket.socket()
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    return opened
