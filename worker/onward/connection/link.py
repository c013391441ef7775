"""The one outgoing connection: a WebSocket to the engine, opened from here, so that a worker needs no port of its own.

Names are resolved and the token is read anew for every attempt, because both may have changed while the worker ran.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import aiohappyeyeballs
from onward_protocol.limits import SUBPROTOCOL, Limits, Times
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State
from websockets.proxy import get_proxy
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from onward.address import is_loopback, socket_url
from onward.errors import ConfigError, NotConnected
from onward.settings import checked_token

OPEN_TIMEOUT_S = 3
CLOSE_TIMEOUT_S = 1
EYEBALLS_DELAY_S = 0.25
USER_TIMEOUT_MS = Times().dead_ms  # nothing acknowledged for so long: the engine has given up this path too
RETRY_AFTER_S_MAX = 86_400

Dial = Callable[[], Awaitable["Link"]]
OpenSocket = Callable[[str, int], Awaitable[socket.socket]]
HasEnded = Callable[[Any], bool]


class Pollable(Protocol):
    """A socket, as far as it is looked at here."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...


class LinkLost(Exception):
    """The connection ended, for the reason in the message. Dial again."""


class DialFailed(Exception):
    """This attempt failed; another may not. `retry_after_ms` is set when the engine said when."""

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Refused(NotConnected):
    """The engine does not want this worker, and asking again will not help."""


class Link(Protocol):
    """An open connection. `receive` and `send` raise `LinkLost` once it has ended."""

    async def receive(self) -> bytes:
        """Return the next message."""
        ...

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand messages to `received` as they arrive from now on, as far as the link can do so; others go to `receive`.

        Their order is kept if this is called again after each message that `receive` returned. It must not raise.
        """
        ...

    def write(self, message: bytes) -> bool:
        """Hand a message to the transport if it takes it at once; otherwise do nothing, and return False."""
        ...

    async def send(self, message: bytes) -> None:
        """Hand a message to the transport; waits while its buffer is full."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Flush and close; gives up after a second. Never raises; may be repeated."""
        ...

    def is_gone(self) -> bool:
        """Tell whether the other end is known to be gone, although nobody has read so far."""
        ...


class Socket(ClientConnection):
    """A client connection that can hand over whole messages where they arrive, without a queue and a task between."""

    received: Callable[[bytes], None] | None = None

    def process_event(self, event: Event) -> None:
        """Take one event of the protocol. A message in pieces goes to the queue, and so does all behind it."""
        received = self.received
        if received is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.opcode is Opcode.BINARY and event.fin:
            received(bytes(event.data))
        else:
            self.received = None
            super().process_event(event)

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand messages to `received`, if none wait in the queue."""
        if not len(self.recv_messages.frames):
            self.received = received


class WebSocketLink:
    """A `Link` over the websockets library."""

    def __init__(self, connection: Socket, has_ended: HasEnded) -> None:
        self._connection = connection
        self._has_ended = has_ended

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand messages to `received` as they arrive."""
        self._connection.listen(received)

    async def receive(self) -> bytes:
        """Return the next message."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise LinkLost(_ending(closed)) from closed

    def write(self, message: bytes) -> bool:
        """Hand a message to the transport if it takes it at once.

        It goes past the library's own coroutine, which costs a checkpoint twice as much as the writing itself.
        """
        connection = self._connection
        if connection.paused or connection.state is not State.OPEN:
            return False
        connection.protocol.send_binary(message)
        connection.send_data()
        return True

    async def send(self, message: bytes) -> None:
        """Hand a message to the transport; waits while its buffer is full."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise LinkLost(_ending(closed)) from closed

    async def close(self, code: int = 1000) -> None:
        """Flush and close; gives up after a second."""
        await self._connection.close(code)

    def is_gone(self) -> bool:
        """Ask the system, which knows of the end before what was sent in front of it is read."""
        transport = self._connection.transport
        return transport.is_closing() or self._has_ended(transport.get_extra_info("socket"))


async def open_socket(host: str, port: int) -> socket.socket:
    """Connect to the first address of `host` that answers, of either family."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # The library types a socket address as a bare `tuple`.
    start = aiohappyeyeballs.start_connection  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    opened = await start(found, happy_eyeballs_delay=EYEBALLS_DELAY_S)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return opened


def has_ended(sock: Pollable) -> bool:
    """Tell whether the peer of a connection has ended it, without reading; False where the system cannot say so."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))  # others are told of with POLLHUP
    return bool(poll.poll(0))


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens links to the engine at `url`. `token` is asked at each attempt; an empty answer sends none.

    Goes through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY` and so on), but not to this machine
    itself. Raises `DialFailed` when another attempt makes sense, otherwise `Refused` or `ConfigError`.
    """

    url: str
    token: Callable[[], str]
    open_socket: OpenSocket = open_socket
    has_ended: HasEnded = has_ended

    async def __call__(self) -> Link:
        """Open one link."""
        try:
            return WebSocketLink(await self._connect(socket_url(self.url)), self.has_ended)
        except InvalidStatus as refusal:
            raise _judge(refusal, self.url) from refusal
        except (InvalidProxy, ImportError) as wrong:
            raise ConfigError(f"the proxy that the environment names cannot be used: {wrong}") from wrong
        except InvalidHandshake as garbled:
            raise DialFailed(f"what answers at {self.url} is no Onward engine: {garbled}") from garbled
        except TimeoutError as late:
            raise DialFailed(f"no answer from {self.url} within {OPEN_TIMEOUT_S} s") from late
        except OSError as failure:
            raise DialFailed(f"{self.url} cannot be reached: {failure.strerror or failure}") from failure

    async def _connect(self, url: str) -> Socket:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            uri = parse_uri(url)
            proxy = None if is_loopback(self.url) else get_proxy(uri)
            sock = None if proxy else await self.open_socket(uri.host, uri.port)
            return await _upgrade(url, self._headers(), sock, proxy)

    def _headers(self) -> dict[str, str]:
        token = checked_token(self.token(), "the token")
        return {"Authorization": f"Bearer {token}"} if token else {}


def parse_retry_after(text: str, now_s: float) -> int | None:
    """Return the milliseconds that a Retry-After header asks for, in either form; None when it is missing or bad."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_S_MAX) * 1_000
    try:
        return max(0, round((parsedate_to_datetime(text).timestamp() - now_s) * 1_000))
    except ValueError:
        return None


async def _upgrade(url: str, headers: dict[str, str], sock: socket.socket | None, proxy: str | None) -> Socket:
    """Keep-alive pings are off: a worker whose loop is busy for a minute must not lose its connection. Beats decide."""
    connection = await connect(
        url,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers=headers,
        compression=None,
        max_size=Limits().message_bytes_max,
        max_queue=4,
        open_timeout=None,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=None,
        proxy=proxy,
        sock=sock,
        create_connection=Socket,
    )
    assert isinstance(connection, Socket)
    if connection.subprotocol != SUBPROTOCOL:
        await connection.close()
        raise InvalidHandshake(f"it does not speak {SUBPROTOCOL}")
    return connection


def _judge(refusal: InvalidStatus, url: str) -> DialFailed | Refused:
    status = refusal.response.status_code
    match status:
        case 401:
            return Refused(f"the engine at {url} does not accept this token", code="E0402")
        case 403:
            return Refused(f"the engine at {url} does not let this token connect a worker", code="E0402")
        case 426:
            return Refused(f"the engine at {url} speaks another version of the protocol", code="E0403")
        case _:
            retry_after_ms = parse_retry_after(refusal.response.headers.get("Retry-After", ""), time.time())
            return DialFailed(f"the engine at {url} answered HTTP {status}", retry_after_ms)


def _ending(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection broke"
    return f"the engine closed the connection: {closed.rcvd.reason or closed.rcvd.code}"
