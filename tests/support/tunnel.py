"""An HTTP proxy on loopback that knows CONNECT only, and all names as this machine: between a worker and its engine."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self


class Tunnels:
    """Opens tunnels for whoever has the right words; `asked` are the targets that were asked for. Runs in a thread, on
    a port of its own or a socket that listens somewhere else; with `tls` it is an https proxy.
    """

    def __init__(
        self, authorization: str = "", listening: socket.socket | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.asked: list[str] = []
        self.port = 0
        self._writers: list[StreamWriter] = []
        self._authorization = authorization
        self._tls = tls
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self._is_open = Event()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._serve(),))

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

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=self._listening, ssl=self._tls)
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
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        method, target, _ = request.split()
        self.asked.append(target)
        if method != "CONNECT" or (self._authorization and self._authorization not in "\n".join(headers)):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            writer.close()
            return
        await self._join(reader, writer, int(target.rpartition(":")[2]), b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def _join(self, reader: StreamReader, writer: StreamWriter, port: int, answer: bytes) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", port)
        self._writers += [writer, onward]
        writer.write(answer)
        with suppress(ConnectionError):
            await asyncio.gather(_pump(reader, onward), _pump(there, writer))


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
