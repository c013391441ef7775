"""What a worker and its engine say to each other, seen and disturbed message by message at the worker's end.

Below it are the real WebSocket and the virtual network. A deed happens to one message, before or after the other side
gets it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from onward.connection.link import Dial, LinkLost, WebSocketLink
from onward.connection.link import Link as WorkerLink
from onward_protocol.codec import decode_engine_message, decode_worker_message
from onward_protocol.messages import EngineFrame, WorkerFrame
from websockets.protocol import State

from tests.support.link import Direction, Link
from tests.support.overheard import Overheard

UP: Final = Direction.TO_SERVER
DOWN: Final = Direction.TO_CLIENT

Forward = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Said:
    """One message: the worker at whose end of the line it was, its number there in its direction, and its frames."""

    worker: str
    way: Direction
    number: int
    kinds: tuple[str, ...]
    bytes: int

    def __str__(self) -> str:
        return f"message {self.number} {self.way.value} ({', '.join(self.kinds)}) at {self.worker}"


@dataclass(frozen=True, slots=True)
class Passing:
    """A message on its way through the tap: `forward` lets the other side have it."""

    said: Said
    message: bytes
    link: TappedLink
    forward: Forward


Deed = Callable[[Passing], None]


class Tap:
    """The worker's end of all lines of a cluster. Each of the `disturbers` may say what happens to a message.

    It also overhears what the engine says is durable.
    """

    def __init__(self, line_of: Callable[[str], Link]) -> None:
        self.disturbers: list[Callable[[Said], Deed | None]] = []
        self.said: list[Said] = []
        self.overheard = Overheard()
        self._line_of = line_of
        self._numbers: Counter[tuple[str, Direction]] = Counter()

    def on(self, worker: str, dial: Dial) -> Dial:
        """Return how this worker dials."""

        async def tapped() -> WorkerLink:
            inner = await dial()
            assert isinstance(inner, WebSocketLink)
            return TappedLink(inner, worker, self, self._line_of(worker))

        return tapped

    def judge(self, worker: str, way: Direction, message: bytes) -> tuple[Said, Deed | None]:
        """Note a message that is about to pass, and say what happens to it."""
        frames = self._overhear(way, message)
        self._numbers[worker, way] += 1
        kinds = tuple(type(frame).__name__ for frame in frames)
        said = Said(worker, way, self._numbers[worker, way], kinds, _bytes_on_the_line(way, len(message)))
        self.said.append(said)
        return said, next((deed for disturb in self.disturbers if (deed := disturb(said))), None)

    def _overhear(self, way: Direction, message: bytes) -> Sequence[WorkerFrame | EngineFrame]:
        if way is UP:
            said = decode_worker_message(message)
            self.overheard.said(said)
            return said
        told = decode_engine_message(message)
        self.overheard.told(told)
        return told


class TappedLink:
    """A worker's link whose messages pass the tap. `line` is what lies below it."""

    def __init__(self, inner: WebSocketLink, worker: str, tap: Tap, line: Link) -> None:
        self.line = line
        self._inner = inner
        self._worker = worker
        self._tap = tap
        self._came: deque[bytes] = deque()
        self._held: dict[Direction, list[tuple[Forward, bytes]]] = {}
        self._released = asyncio.Event()
        self._released.set()

    async def receive(self) -> bytes:
        """Return the next message that passes."""
        while not self._came:
            self._pass(DOWN, await self._received(), self._came.append)
            await self._released.wait()
        return self._came.popleft()

    async def _received(self) -> bytes:
        try:
            return await self._inner.receive()
        except LinkLost:
            self._tap.overheard.broken()
            raise

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand over messages that pass as they arrive."""
        while self._came:
            received(self._came.popleft())
        self._inner.listen(lambda message: self._pass(DOWN, message, received))

    def write(self, message: bytes) -> bool:
        """Let the message pass, if the socket would take it now."""
        connection = self._inner._connection
        if connection.paused or connection.state is not State.OPEN:
            return False
        self._pass(UP, message, self._inner.write)
        return True

    async def send(self, message: bytes) -> None:
        """Let the message pass, or wait for the socket with it."""
        if not self.write(message):
            await self._inner.send(message)

    async def close(self, code: int = 1000) -> None:
        """Close the link behind everything that is held."""
        await self._released.wait()
        await self._inner.close(code)

    def is_gone(self) -> bool:
        """Tell whether the other end is gone."""
        return self._inner.is_gone()

    def hold(self, passing: Passing, ms: int) -> None:
        """Keep this message and all behind it for so long."""
        self._held[passing.said.way] = [(passing.forward, passing.message)]
        self._released.clear()
        asyncio.get_running_loop().call_later(ms / 1000, self._release, passing.said.way)

    def _release(self, way: Direction) -> None:
        for forward, message in self._held.pop(way):
            forward(message)
        if not self._held:
            self._released.set()

    def _pass(self, way: Direction, message: bytes, forward: Forward) -> None:
        said, deed = self._tap.judge(self._worker, way, message)
        if way in self._held:
            self._held[way].append((forward, message))
        elif deed is None:
            forward(message)
        else:
            deed(Passing(said, message, self, forward))


def _bytes_on_the_line(way: Direction, size: int) -> int:
    """Return how long a WebSocket's frame is; that of a client has a mask."""
    length = 2 if size < 126 else 4 if size < 1 << 16 else 10
    return length + (4 if way is UP else 0) + size
