"""A network in memory: listeners, connections and faults, all from one seed.

Every client host has a link of its own. Code started inside `with network.on_host("worker-1"):` dials from that host,
so that `network.link("worker-1").black_hole()` takes one worker away while the others work. Faults on the network hold
for all links.

There are no TCP time-outs beside that of connecting: silence lasts until somebody's heartbeat notices it.
"""

import asyncio
import contextlib
import contextvars
import errno
import random
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import cast

from tests.support.connection import Connection
from tests.support.lane import Item
from tests.support.link import Direction, Link
from tests.support.listener import Listener
from tests.support.loop import VirtualLoop
from tests.support.transport import WINDOW_BYTES, Address, VirtualSocket

LOCALHOST = "127.0.0.1"
ANYWHERE = "0.0.0.0"
EPHEMERAL_PORT = 40_000
SYN_RETRIES_S = (1, 2, 4, 8, 16, 32, 64)  # Linux: gives up after 127 s

host: contextvars.ContextVar[str] = contextvars.ContextVar("host", default=LOCALHOST)


@dataclass(frozen=True, slots=True)
class Passed:
    """One thing that arrived: when, on which connection, which way, and what."""

    at_ms: float
    connection: int
    direction: Direction
    item: Item


class Network(Link):
    """The one network of a simulation; also the link that all hosts share."""

    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        super().__init__()
        self.trace: list[Passed] = []
        self.route: Callable[[Address], Address] = lambda where: where
        """Where a connection that is dialled to an address goes: a balancer sends it on."""
        self.window_bytes = WINDOW_BYTES
        self._loop, self._rng = loop, rng
        self._links: dict[str, Link] = {}
        self._listeners: dict[Address, Listener] = {}
        self._ports = EPHEMERAL_PORT
        self._dialled = 0

    # For tests

    def link(self, name: str = LOCALHOST) -> Link:
        """Return the link of a client host."""
        return self._links.setdefault(name, Link(self))

    @contextlib.contextmanager
    def on_host(self, name: str) -> Generator[Link]:
        """Let tasks created in this block dial from that host."""
        token = host.set(name)
        try:
            yield self.link(name)
        finally:
            host.reset(token)

    def heal(self) -> None:
        """End all faults, those of every link too."""
        super().heal()
        for link in self._links.values():
            link.heal()

    def cut_server(self, where: Address) -> None:
        """Break all connections to a server, as the end of its process does."""
        for connection in list(self.connections):
            if isinstance(connection, Connection) and connection.server == where:
                connection.reset()

    def bind(self, name: str = LOCALHOST, port: int = 0) -> socket.socket:
        """Return what `create_server(sock=...)` and uvicorn's `serve(sockets=[...])` take; port 0 picks one."""
        return cast("socket.socket", VirtualSocket((name, port or self._next_port())))

    async def dial(self, name: str, port: int) -> socket.socket:
        """Connect; the result is for `create_connection(sock=...)`. Raises ConnectionRefusedError, TimeoutError."""
        link = self.link(host.get())
        await self._reach(link)
        connection = self._connection(link, self.route((name, port)))
        await self._opened(connection)
        return cast("socket.socket", connection.client_socket)

    # For the loop

    def listen(self, protocol_factory: Callable[[], asyncio.BaseProtocol], where: Address) -> Listener:
        """Accept connections at an address; port 0 picks one. Raises OSError when it is taken."""
        name, port = _host_of(where[0]), where[1] or self._next_port()
        if (name, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"address {name}:{port} is in use")
        listener = Listener(self._loop, protocol_factory, (name, port), lambda: self._listeners.pop((name, port), None))
        self._listeners[name, port] = listener
        return listener

    def listener_at(self, where: Address) -> Listener | None:
        """Return who accepts connections there, if anybody."""
        name, port = _host_of(where[0]), where[1]
        found = self._listeners.get((name, port)) or self._listeners.get((ANYWHERE, port))
        return found if found and found.is_serving() else None

    def _connection(self, link: Link, server: Address) -> Connection:
        self._dialled += 1
        number = self._dialled
        return Connection(
            loop=self._loop,
            rng=self._rng,
            links=(link, self),
            client=(host.get(), self._next_port()),
            server=server,
            find=lambda: None if link.refuses() else self.listener_at(server),
            record=lambda direction, item: self._record(number, direction, item),
            window_bytes=self.window_bytes,
        )

    def _record(self, number: int, direction: Direction, item: Item) -> None:
        at_ms = round(self._loop.now_s * 1000, 3)
        self.trace.append(Passed(at_ms, number, direction, item))

    async def _reach(self, link: Link) -> None:
        for wait_s in SYN_RETRIES_S:
            if not any(link.vanishes(way) or link.stalls(way) for way in Direction):
                return
            await self._elapse(wait_s)
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    async def _opened(self, connection: Connection) -> None:
        give_up_s = self._loop.now_s + sum(SYN_RETRIES_S)
        timer = self._loop.happen_at(give_up_s, connection.give_up, context=contextvars.copy_context())
        try:
            await connection.open()
        except BaseException:
            connection.abandon()
            raise
        finally:
            timer.cancel()

    async def _elapse(self, seconds: float) -> None:
        over: asyncio.Future[None] = self._loop.create_future()
        when = self._loop.now_s + seconds
        timer = self._loop.happen_at(when, _release, over, context=contextvars.copy_context())
        try:
            await over
        finally:
            timer.cancel()

    def _next_port(self) -> int:
        self._ports += 1
        return self._ports


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # cancelled at this very moment
        waiter.set_result(None)


def _host_of(name: str) -> str:
    if name in ("", "::"):
        return ANYWHERE
    return LOCALHOST if name in ("localhost", "::1") else name
