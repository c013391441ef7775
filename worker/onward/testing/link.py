"""The worker's end of a connection within one process."""

from __future__ import annotations

from collections.abc import Callable

from onward_engine.pipe import Pipe

from onward.connection.link import LinkLost


class PipeLink:
    """A `Link` over a pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def receive(self) -> bytes:
        """Return the next message."""
        message = await self._pipe.from_engine()
        if message is None:
            raise LinkLost("the connection was cut")
        return message

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Everything goes to `receive`."""

    def write(self, message: bytes) -> bool:
        """Send a message."""
        self._pipe.to_engine(message)
        return True

    async def send(self, message: bytes) -> None:
        """Send a message."""
        self._pipe.to_engine(message)

    async def close(self, code: int = 1000) -> None:
        """End the connection."""
        del code
        self._pipe.abort()

    def is_gone(self) -> bool:
        """Both ends are one process: it stands still as a whole."""
        return False
