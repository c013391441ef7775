"""What stands between a worker and its engine in other people's networks, on loopback: each in a thread, from
`__enter__` to `__exit__`, at a port of its own or on a socket that listens somewhere else.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from tests.support.authority import Authority

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024

Streams = tuple[StreamReader, StreamWriter]


class Box:
    """Takes connections, and does with them what its kind does."""

    def __init__(self, tls: ssl.SSLContext | None = None, listening: socket.socket | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._listening = listening or socket.create_server((HOST, 0))
        self._writers: list[StreamWriter] = []
        self._is_open = Event()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    @property
    def url(self) -> str:
        """Its address, for workers and clients."""
        return f"http{'s' if self._tls else ''}://{HOST}:{self.port}"

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection."""
        raise NotImplementedError

    async def dialled(self, target: int, **options: Any) -> Streams:
        """Return a connection to somebody behind this box; it is closed with the others."""
        streams = await asyncio.open_connection(HOST, target, **options)
        self._writers.append(streams[1])
        return streams

    async def _served(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(OSError, EOFError, asyncio.CancelledError):  # the end of the box
            await self.connected(reader, writer)
        writer.close()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        server = await asyncio.start_server(self._served, sock=self._listening, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._is_open.set()
        await self._ending.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # until they have heard it

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_open.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()


class Page(Box):
    """Says the same to everybody who asks for something: another service, or a proxy that does not want to."""

    def __init__(self, head: str, body: str = "", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self._answer = f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()


class Downgrade(Box):
    """A load balancer that passes requests on, and takes out the headers that it has not heard of."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n").split("\r\n")
        kept = [line for line in head if not line.lower().startswith(("upgrade:", "connection:", "sec-websocket"))]
        there, onward = await self.dialled(self._target)
        onward.write("\r\n".join([*kept, "Connection: close", "", ""]).encode())
        await pump(there, writer)


class IdleCut(Box):
    """A firewall that ends connections on which nothing has passed for a while; `quietly` it drops what comes then, and
    tells nobody.
    """

    def __init__(self, target: int, after_s: float, *, quietly: bool = False) -> None:
        super().__init__()
        self._target = target
        self._after_s = after_s
        self._quietly = quietly

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        there, onward = await self.dialled(self._target)
        used, forgotten = asyncio.Event(), asyncio.Event()
        pumps = asyncio.gather(pump(reader, onward, used, forgotten), pump(there, writer, used, forgotten))
        with suppress(TimeoutError):
            while not pumps.done():
                used.clear()
                await asyncio.wait_for(used.wait(), self._after_s)
        if self._quietly:
            forgotten.set()
            await pumps
        writer.transport.abort()


class Inspector(Box):
    """A proxy that reads what is encrypted: it makes a certificate for whatever host is asked for, and passes on what
    it has read.
    """

    def __init__(self, authority: Authority, target: int, trusted: ssl.SSLContext) -> None:
        super().__init__()
        self._authority = authority
        self._target = target
        self._trusted = trusted

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        host = request.split()[1].rpartition(":")[0]
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(self._context(host))
        there, onward = await self.dialled(self._target, ssl=self._trusted, server_hostname=host)
        await asyncio.gather(pump(reader, onward), pump(there, writer))

    def _context(self, host: str) -> ssl.SSLContext:
        context = self._authority.sign(host).listening()

        def look_at_name(session: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
            session.context = self._authority.sign(name or host).listening()

        context.sni_callback = look_at_name
        return context


async def pump(
    reader: StreamReader,
    writer: StreamWriter,
    used: asyncio.Event | None = None,
    forgotten: asyncio.Event | None = None,
) -> None:
    """Carry bytes until one end closes. `used` is set whenever some have come; they vanish if this is `forgotten`."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            if used is not None:
                used.set()
            if forgotten is None or not forgotten.is_set():
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
