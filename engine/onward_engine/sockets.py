"""Uvicorn's WebSocket as a transport.

ASGI hands each message through a queue, a task and two changes of the event loop's registrations, and cannot say how
much the peer has not taken, nor end a connection at once. So the socket shows itself to the application, which takes
the messages from it directly: half of the processor time of a small message, and a dead peer is cut off in time.
"""

from __future__ import annotations

from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from .connection import Receiver

_EXTENSION = "onward.socket"


def socket_of(scope: Scope) -> Socket:
    """Return the socket of a WebSocket request that this engine's server accepted."""
    socket: Socket = scope["extensions"][_EXTENSION]
    return socket


class Socket(WebSocketsSansIOProtocol):
    """A `Transport` from `listen` on; before that, an ordinary WebSocket of uvicorn."""

    close_ms = 1_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiver: Receiver | None = None

    @property
    def peer(self) -> str:
        """Return the other end's address."""
        return "" if self.client is None else f"{self.client[0]}:{self.client[1]}"

    # -- Transport -----------------------------------------------------------------------------------------------------

    def listen(self, receiver: Receiver) -> None:
        """Hand over what arrives from now on, beginning with what ASGI has queued."""
        self._receiver = receiver
        while not self.queue.empty():
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                receiver.received(_data(cast("dict[str, Any]", message)))
        if self.disconnected:
            receiver.lost()
        elif self.read_paused:
            self.resume()

    def write(self, message: bytes) -> None:
        """Send a binary message; dropped once the socket is closing."""
        if self.close_sent or self.disconnected:
            return
        try:
            self.conn.send_binary(message)
        except InvalidState:
            return
        self.transport.write(b"".join(self.conn.data_to_send()))

    @property
    def is_writable(self) -> bool:
        """Whether the buffer is below its high-water mark."""
        return self.writable.is_set()

    @property
    def unsent_bytes(self) -> int:
        """How much is in the buffer."""
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    def pause(self) -> None:
        """Read no more."""
        if not self.read_paused and not self.disconnected:
            self.read_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.read_paused and not self.disconnected:
            self.read_paused = False
            self.transport.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Send a close frame; the peer has `close_ms` to answer it."""
        if self.close_sent or self.disconnected:
            return
        self.close_sent = True
        try:
            self.conn.send_close(code, reason.encode()[:120].decode(errors="ignore"))
        except InvalidState:
            self.abort()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.resume()  # to see the answer
        self.close_timer = self.loop.call_later(self.close_ms / 1000, self.abort)

    def abort(self) -> None:
        """End it now; what is in the buffer is lost."""
        if not self.disconnected:
            self.transport.abort()

    # -- uvicorn -------------------------------------------------------------------------------------------------------

    async def run_asgi(self) -> None:
        """Run the application, which finds this socket in its scope."""
        cast("dict[str, Any]", self.scope)["extensions"][_EXTENSION] = self
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send what the application says. A refusal completes the handshake too, and is no fault of the application."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message over."""
        if self._receiver is None:
            super().send_receive_event_to_app()
            return
        message = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if not self.close_sent:
            self._receiver.received(message)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._receiver is not None:
            self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver that it is over."""
        super().connection_lost(exc)
        if self._receiver is not None:
            self._receiver.lost()


def _data(message: dict[str, Any]) -> bytes:
    data: bytes | None = message.get("bytes")
    # A text message is no frame of ours; as bytes it is refused where all garbage is refused.
    return str(message["text"]).encode() if data is None else data
