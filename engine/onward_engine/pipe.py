"""A connection without a network: the gateway at one end, a worker's session at the other, in one process."""

from __future__ import annotations

import asyncio
from collections import deque

from .connection import Receiver


class Pipe:
    """A `Transport` for the gateway; the worker's end is `to_engine`, `from_engine` and `abort`."""

    def __init__(self, peer: str = "in process") -> None:
        self.peer = peer
        self.close_code: int | None = None
        self._is_over = False
        self._is_paused = False
        self._receiver: Receiver | None = None
        self._up: deque[bytes] = deque()
        self._down: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._is_scheduled = False

    # -- the worker's end ----------------------------------------------------------------------------------------------

    def to_engine(self, message: bytes) -> None:
        """Send a message. After the end it is lost, as on a real wire."""
        if not self._is_over:
            self._up.append(message)
            self._schedule()

    async def from_engine(self) -> bytes | None:
        """Return the next message; None when the connection has ended."""
        while not self._down:
            if self._is_over:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._down.popleft()

    def abort(self) -> None:
        """End it now, from either end, as a cut wire does; what is under way still arrives. May be repeated."""
        if not self._is_over:
            self._is_over = True
            self._schedule()
            self._wake()

    # -- Transport -----------------------------------------------------------------------------------------------------

    def listen(self, receiver: Receiver) -> None:
        """Tell `receiver` everything from now on."""
        self._receiver = receiver
        self._schedule()

    def write(self, message: bytes) -> None:
        """Send a message to the worker."""
        if not self._is_over:
            self._down.append(message)
            self._wake()

    @property
    def is_writable(self) -> bool:
        """Nothing ever waits in a pipe."""
        return True

    @property
    def unsent_bytes(self) -> int:
        """Nothing ever waits in a pipe."""
        return 0

    def pause(self) -> None:
        """Hand over nothing until `resume`."""
        self._is_paused = True

    def resume(self) -> None:
        """Hand over again."""
        self._is_paused = False
        self._schedule()

    def close(self, code: int, reason: str) -> None:
        """End it; the worker finds the code in `close_code`."""
        del reason
        if not self._is_over:
            self.close_code = int(code)
            self.abort()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_scheduled = False
        receiver = self._receiver
        if receiver is None:
            return
        while self._up and not self._is_paused:
            receiver.received(self._up.popleft())
        if self._is_over and not self._up:
            self._receiver = None
            receiver.lost()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
