"""One end of a connection in memory, as an asyncio transport with flow control."""

import asyncio
import errno
import socket
from asyncio.transports import _FlowControlMixin
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from tests.support.lane import HANDSHAKE, Item, Lane, Signal
from tests.support.loop import VirtualLoop

WINDOW_BYTES = 64 * 1024  # what the two systems hold between the ends; only what exceeds it fills a write buffer

Address = tuple[str, int]


class VirtualSocket:
    """What asks a transport for its socket gets this: addresses and options, but no file descriptor."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, local: Address, peer: Address | None = None) -> None:
        self._local, self._peer = local, peer
        self.transport: VirtualTransport | None = None

    def getsockname(self) -> Address:
        """Return the local address."""
        return self._local

    def getpeername(self) -> Address:
        """Return the other end's address; a listening socket has none."""
        if self._peer is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._peer

    def setsockopt(self, *_: object) -> None:
        """Accept any option."""

    def getsockopt(self, *_: object) -> int:
        """Return 0 for any option."""
        return 0

    def setblocking(self, flag: bool) -> None:
        """Accept either."""

    def fileno(self) -> int:
        """Raise OSError: there is nothing to select on."""
        raise OSError(errno.EBADF, "a virtual socket has no file descriptor")

    def close(self) -> None:
        """Close the connection behind it, if there is one."""
        if self.transport is not None:
            self.transport.abort()


class VirtualTransport(_FlowControlMixin):
    """A transport over two lanes; behaves as asyncio's own socket transport does."""

    if TYPE_CHECKING:  # asyncio's own, which the stubs leave out
        _loop: VirtualLoop
        _protocol: asyncio.Protocol

        def _maybe_pause_protocol(self) -> None: ...
        def _maybe_resume_protocol(self) -> None: ...

    def __init__(
        self,
        loop: VirtualLoop,
        out: Lane,
        into: Lane,
        sock: VirtualSocket,
        on_handshake: Callable[[Signal], None],
        window_bytes: int,
    ) -> None:
        peer = sock.getpeername()
        super().__init__({"sockname": sock.getsockname(), "peername": peer, "socket": sock}, loop)
        sock.transport = self
        self._out, self._into, self._on_handshake, self._window_bytes = out, into, on_handshake, window_bytes
        self.on_end: list[Callable[[], None]] = []
        self._attached = self._paused = self._closing = self._lost = self._eof_sent = False

    # What protocols use

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what arrives from now on to this protocol."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._protocol

    def is_closing(self) -> bool:
        """Say whether it is closed or being closed."""
        return self._closing

    def is_reading(self) -> bool:
        """Say whether bytes are handed to the protocol as they arrive."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """Leave bytes on their way, so that the other end's buffer fills."""
        self._paused = True

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._paused = False
        self._into.wake()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes on their way; after the connection has ended they are ignored."""
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data and not self._closing:
            self._out.send(bytes(data))
            self._maybe_pause_protocol()

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """End this direction; the other one stays open."""
        if not self._closing and not self._eof_sent:
            self._eof_sent = True
            self._out.send(Signal.END)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are written but neither read by the other end nor held by the systems between."""
        return max(0, self._out.unread - self._window_bytes)

    def close(self) -> None:
        """End the connection when the write buffer is empty."""
        if not self._closing:
            self._closing = True
            self._into.wake()
            self._finish_when_flushed()

    def abort(self) -> None:
        """End the connection now, without what is in the write buffer; the system still says goodbye politely."""
        self._break_off(None)

    # What the network uses

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the connection to its first protocol, and let bytes flow."""
        self.set_protocol(protocol)
        self._attached = True
        protocol.connection_made(self)
        if self._lost:
            self._loop.call_soon(protocol.connection_lost, reset_error())
        self._into.wake()

    def reads(self) -> bool:
        """Say whether the lane may deliver; an end that has closed takes everything, to throw it away."""
        return self._closing or (self._attached and not self._paused)

    def drained(self) -> None:
        """Hear that the other end has read something."""
        if self._attached and not self._lost:
            self._maybe_resume_protocol()
        if self._closing:
            self._finish_when_flushed()

    @property
    def has_ended(self) -> bool:
        """Whether the other end's end has arrived."""
        return self._into.has_ended

    def receive(self, item: Item) -> None:
        """Take what has arrived, as the system and the event loop would together."""
        if isinstance(item, Signal) and item in HANDSHAKE:
            self._on_handshake(item)
        elif item is Signal.RESET:
            self.lose(reset_error())
        elif self._closing:
            self._receive_closed(item)
        else:
            self._call_protocol(item)

    def lose(self, error: Exception | None) -> None:
        """End the connection for this end, without telling the other."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._loop.call_soon(self._end, error, context=self._into.context)  # the end's own, whoever broke it

    def _end(self, error: Exception | None) -> None:
        try:
            if self._attached:
                self._protocol.connection_lost(error)
        finally:
            for callback in self.on_end:
                callback()

    def _receive_closed(self, item: Item) -> None:
        if self._lost and isinstance(item, bytes):
            self._out.send(Signal.RESET)  # the system's answer to bytes for a socket that is gone

    def _call_protocol(self, item: Item) -> None:
        try:
            if isinstance(item, bytes):
                self._protocol.data_received(item)
            elif not self._protocol.eof_received():
                self.close()
        except Exception as error:  # noqa: BLE001 - asyncio too reports a protocol's fault and breaks the connection
            self._report(error)
            self._break_off(error)

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "a protocol failed", "exception": error, "transport": self, "protocol": self._protocol}
        )

    def _finish_when_flushed(self) -> None:
        if not self._lost and not self.get_write_buffer_size():
            self._say_end()
            self.lose(None)

    def _break_off(self, error: Exception | None) -> None:
        if not self._lost:
            self._out.drop_all_but(self._window_bytes)
            self._say_end()
            self.lose(error)

    def _say_end(self) -> None:
        if not self._eof_sent:
            self._out.send(Signal.END)


def has_ended(sock: VirtualSocket) -> bool:
    """Tell whether the other end's end has arrived, although nobody has read so far."""
    return sock.transport is not None and sock.transport.has_ended


def reset_error() -> OSError:
    """Return what both ends see when a connection breaks."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
