"""HTTP/1.1 on asyncio streams: kept connections, one request each at a time, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from onward.calls import Answer, Request
from onward.dialing.faults import DialError, TlsFailed, wants_certificate
from onward.dialing.line import dial
from onward.dialing.trust import Trust
from onward.dialing.way import target_of
from onward.errors import NotConnected
from onward.settings import Settings

CONNECT_S: Final = 10
ANSWER_S: Final = 30
"""How long an answer may take beyond what the request asks the engine to wait."""

HEAD_BYTES_MAX: Final = 64 * 1024
IDLE_MAX: Final = 8
"""Connections that are kept for later; more at once are opened and closed again."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Transport:
    """Sends requests to one engine. Belongs to the event loop that uses it; with another loop it starts with new
    connections.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = urlsplit(settings.url)
        self._trust = Trust(settings.way)
        self._idle: list[Streams] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def request(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status. Raises `NotConnected`."""
        self._follow_loop()
        try:
            return await self._exchange(request)
        except (DialError, OSError, EOFError, ValueError) as error:
            raise not_connected(self._settings, error) from error

    async def close(self) -> None:
        """Close the kept connections."""
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()

    async def _exchange(self, request: Request) -> Answer:
        while self._idle:
            try:
                return await self._on(self._idle.pop(), request)
            except (OSError, EOFError):  # the engine closed a kept connection meanwhile: every request may be repeated
                continue
        async with asyncio.timeout(CONNECT_S):
            streams = await self._connect()
        return await self._on(streams, request)

    async def _connect(self) -> Streams:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(HEAD_BYTES_MAX, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = await dial(protocol, self._settings.url, self._settings.way, self._trust)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _on(self, streams: Streams, request: Request) -> Answer:
        reader, writer = streams
        is_kept = False
        try:
            async with asyncio.timeout(ANSWER_S + request.wait_ms / 1000):
                writer.write(self._encoded(request))
                await writer.drain()
                answer, is_kept = await read_answer(reader)
        finally:
            if is_kept and len(self._idle) < IDLE_MAX:
                self._idle.append(streams)
            else:
                writer.close()
        return answer

    def _encoded(self, request: Request) -> bytes:
        head = [
            f"{request.method} {self._address.path}{request.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers_of(request, self._settings).items()),
        ]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + request.body

    def _follow_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._idle = loop, []


def headers_of(request: Request, settings: Settings) -> dict[str, str]:
    """Return the headers of a request."""
    host = target_of(settings.url).name
    headers = {"host": host, "accept": request.accept, "content-length": str(len(request.body))}
    if request.body:
        headers["content-type"] = "application/json"
    if token := settings.token():
        headers["authorization"] = f"Bearer {token}"
    return headers


def not_connected(settings: Settings, error: Exception) -> NotConnected:
    """Return the error that says which engine could not be reached, and why."""
    if wants_certificate(error):  # with TLS 1.3 it is told only behind the handshake
        error = TlsFailed(f"the engine at {settings.url}", error)
    if isinstance(error, DialError):
        return NotConnected(f"{error.message}.", code=error.code)
    reason = "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return NotConnected(f"the engine at {settings.url} cannot be reached: {reason}.")


async def read_answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """Read one response; also tell whether the connection can be used again. Raises `OSError`, `EOFError` or
    `ValueError`.
    """
    status, headers = _parsed(await _head(reader))
    if status < 200:
        return await read_answer(reader)
    is_kept = headers.get("connection", "").lower() != "close"
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status, await _chunks(reader)), is_kept
    if status in {204, 304}:
        return Answer(status, b""), is_kept
    if "content-length" in headers:
        return Answer(status, await reader.readexactly(int(headers["content-length"]))), is_kept
    return Answer(status, await reader.read()), False


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError(f"its answer has more than {HEAD_BYTES_MAX} bytes of headers") from error


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"it does not speak HTTP: {first[:80]!r}")
    pairs = (line.partition(":") for line in lines if line)
    return int(rest[:3]), {name.lower(): value.strip() for name, _, value in pairs}


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readline()).strip():  # trailers
        pass
    return bytes(body)
