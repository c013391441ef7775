"""A connection from the first packet to the moment at which the engine's protocol takes over.

    addresses = await resolve(host, port)
    line = await Line.on(await connect(addresses))  # to the engine, or to the proxy before it
    await line.tunnel(proxy, target, trust)
    await line.encrypt(trust.to_engine(), target.host)
    transport = line.hand_over(protocol)

`dial` does what is needed of this. Names are resolved and files are read at each attempt.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, cast

import aiohappyeyeballs
from onward_protocol.limits import Times

from onward.dialing.faults import TlsFailed, Unreachable
from onward.dialing.names import Addresses, resolve
from onward.dialing.proxies import Proxy
from onward.dialing.trust import Trust
from onward.dialing.tunnels import tunnel
from onward.dialing.way import Target, Way, target_of

EYEBALLS_DELAY_S: Final = 0.25
USER_TIMEOUT_MS: Final = Times().dead_ms
"""Nothing acknowledged for so long: the engine has given up this path too."""

OpenSocket = Callable[[str, int], Awaitable[socket.socket]]


async def connect(addresses: Addresses) -> socket.socket:
    """Connect to the first of these that answers, of either family. Raises `OSError`."""
    # The library types a socket address as a bare `tuple`.
    start: Any = aiohappyeyeballs.start_connection  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    opened: socket.socket = await start(addresses, happy_eyeballs_delay=EYEBALLS_DELAY_S)
    prepare(opened)
    return opened


async def open_socket(host: str, port: int) -> socket.socket:
    """Connect to a host. Raises `OSError`."""
    return await connect(await resolve(host, port))


def prepare(opened: socket.socket) -> None:
    """Let the system end a connection on which nothing is acknowledged any more, where it can."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


async def dial(
    protocol: asyncio.Protocol, url: str, way: Way, trust: Trust, open_socket: OpenSocket = open_socket
) -> asyncio.Transport:
    """Connect a protocol to the engine at `url`. Raises `DialError`, or `ConfigError` if what is set cannot be used.
    Cancelling it leaves nothing open.
    """
    target, proxy, engine = target_of(url), way.choice(url).proxy, f"the engine at {url}"
    context = trust.to_engine() if target.is_tls else None  # first: what is wrong with files is not the network's fault
    line = await _first(proxy or target, f"the proxy {proxy}" if proxy else engine, open_socket)
    try:
        if proxy is not None:
            await line.tunnel(proxy, target, trust)
        if context is not None:
            await line.encrypt(context, target.host, engine)
        return line.hand_over(protocol, engine)
    except BaseException:
        line.abort()
        raise


async def _first(place: Target | Proxy, peer: str, open_socket: OpenSocket) -> Line:
    try:
        return await Line.on(await open_socket(place.host, place.port))
    except (OSError, UnicodeError) as failure:
        raise Unreachable(peer, failure) from failure


class Line(asyncio.Protocol):
    """A connection that is being prepared. Its methods raise `DialError`; after that, `abort` it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._failure: Exception | None = None

    @classmethod
    async def on(cls, opened: socket.socket) -> Self:
        """Take over a connected socket."""
        _, line = await asyncio.get_running_loop().create_connection(cls, sock=opened)
        return line

    async def encrypt(self, context: ssl.SSLContext, host: str, peer: str = "the engine") -> None:
        """Speak TLS from now on, with somebody who has a certificate for `host`; errors call it `peer`. May be
        repeated: TLS within TLS.
        """
        loop = asyncio.get_running_loop()
        if self.transport.is_closing():  # loops do not look: one goes on as if all were well
            raise TlsFailed(peer, ConnectionResetError("it ended the connection"))
        try:
            encrypted = await loop.start_tls(self.transport, self, context, server_hostname=host)
        except (OSError, ValueError) as failure:  # every error of TLS is one; a name that no certificate has is no name
            raise TlsFailed(peer, failure) from failure
        if encrypted is None:
            raise TlsFailed(peer, ConnectionResetError("it ended the connection"))
        self.transport = encrypted

    async def tunnel(self, proxy: Proxy, target: Target, trust: Trust) -> None:
        """Let a proxy connect us to a target; what an https proxy is told is encrypted."""
        if proxy.scheme == "https":
            await self.encrypt(trust.to_proxy(), proxy.host, f"the proxy {proxy}")
        handshake = tunnel(proxy, target)
        try:
            sending = next(handshake)
            while True:
                if sending:
                    self.transport.write(sending)
                sending = handshake.send(await self._received.get())
        except StopIteration:
            return

    def hand_over(self, protocol: asyncio.Protocol, peer: str = "the engine") -> asyncio.Transport:
        """Give what is ready to the protocol that is to speak on it, and from then on hears of everything."""
        if not self._received.empty():  # its end, of which the protocol would never hear
            if isinstance(self._failure, ssl.SSLError):
                raise TlsFailed(peer, self._failure)
            raise Unreachable(peer, ConnectionResetError("it ended the connection"))
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        return self.transport

    def abort(self) -> None:
        """End the connection at once. May be repeated."""
        self.transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received.put_nowait(data)

    def eof_received(self) -> None:
        self._received.put_nowait(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._failure = exc
        self._received.put_nowait(b"")
