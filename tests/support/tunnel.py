"""An HTTP proxy on loopback that knows CONNECT only, and all names as this machine: between a worker and its engine."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from base64 import b64encode

from tests.support.boxes import Box, pump


class Tunnels(Box):
    """Opens tunnels for whoever has the right user and password, or for everybody; `asked` are the targets that were
    asked for. With `tls` it is an https proxy.
    """

    def __init__(
        self,
        user: str = "",
        password: str = "",
        *,
        listening: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls, listening)
        self.asked: list[str] = []
        self._words = (user, password)

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Open one tunnel, or say what is missing."""
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        method, target, _ = request.split()
        self.asked.append(target)
        if method != "CONNECT" or not self._knows(headers):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            return
        port = int(target.rpartition(":")[2])
        await self.join(reader, writer, port, b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _knows(self, headers: list[str]) -> bool:
        words = b64encode(":".join(self._words).encode()).decode()
        return self._words == ("", "") or f"Proxy-Authorization: Basic {words}" in headers

    async def join(self, reader: StreamReader, writer: StreamWriter, port: int, answer: bytes) -> None:
        """Answer, and carry bytes both ways until the end."""
        there, onward = await self.dialled(port)
        writer.write(answer)
        await asyncio.gather(pump(reader, onward), pump(there, writer))
