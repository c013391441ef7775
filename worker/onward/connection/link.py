"""A WebSocket to the engine, as far as it is open, and the reasons why there is none."""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from onward.errors import NotConnected

Dial = Callable[[], Awaitable["Link"]]
HasEnded = Callable[[Any], bool]


class Pollable(Protocol):
    """A socket, as far as it is looked at here."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...


class LinkLost(Exception):
    """The connection ended, for the reason in the message. Dial again. `is_cut`: the engine has not closed it."""

    def __init__(self, message: str, *, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


class DialFailed(Exception):
    """This attempt failed; another may not. `retry_after_ms` is set when the engine, or a proxy before it, said when;
    `code` says more about the reason.
    """

    def __init__(self, message: str, retry_after_ms: int | None = None, *, code: str = "E0401") -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
        self.code = code


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
            raise _lost(closed) from closed

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
            raise _lost(closed) from closed

    async def close(self, code: int = 1000) -> None:
        """Flush and close; gives up after a second."""
        await self._connection.close(code)

    def is_gone(self) -> bool:
        """Ask the system, which knows of the end before what was sent in front of it is read."""
        transport = self._connection.transport
        return transport.is_closing() or self._has_ended(transport.get_extra_info("socket"))


def has_ended(sock: Pollable) -> bool:
    """Tell whether the peer of a connection has ended it, without reading; False where the system cannot say so."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))  # others are told of with POLLHUP
    return bool(poll.poll(0))


def _lost(closed: ConnectionClosed) -> LinkLost:
    if closed.rcvd is None:
        return LinkLost("the connection broke", is_cut=True)
    return LinkLost(f"the engine closed the connection: {closed.rcvd.reason or closed.rcvd.code}")
