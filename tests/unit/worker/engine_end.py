"""The engine's end of a worker's connections: the real session on a wire in memory, steered by a test."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from onward.connection.link import DialFailed, Link, LinkLost
from onward_protocol.codec import decode_engine_message, encode, encode_message
from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Ack, Assign, BeatAck, EngineFrame, Hello, Segment
from onward_protocol.session import EngineSession, FromWorker

F = TypeVar("F", bound=FromWorker)


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Wire:
    """Both directions of one connection. `None` in a queue is its end."""

    def __init__(self) -> None:
        self.up: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.down: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed_with: int | None = None
        self.is_cut = False
        self.is_stuck = False

    async def receive(self) -> bytes:
        message = await self.down.get()
        if message is None:
            raise LinkLost("the connection broke")
        return message

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Everything goes to `receive`."""

    def write(self, message: bytes) -> bool:
        if self.is_cut or self.is_stuck:
            return False
        self.up.put_nowait(message)
        return True

    async def send(self, message: bytes) -> None:
        if self.is_cut:
            raise LinkLost("the connection broke")
        if self.is_stuck:
            await asyncio.Event().wait()
        self.up.put_nowait(message)

    async def close(self, code: int = 1000) -> None:
        self.closed_with = code
        self.up.put_nowait(None)

    def is_gone(self) -> bool:
        return self.is_cut

    def cut(self) -> None:
        """Break it for both ends."""
        self.is_cut = True
        self.down.put_nowait(None)
        self.up.put_nowait(None)


class Peer:
    """One accepted connection, seen from the engine. Frames that nobody asked for yet wait in `inbox`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.session = EngineSession(now_ms=now_ms())
        self.inbox: deque[FromWorker] = deque()
        self.messages: list[list[FromWorker]] = []
        self.is_mute = False
        self.is_counting = True
        self.is_over = False

    async def welcome(self, session: str = "secret", generation: int = 1, callback_url: str = "") -> Hello:
        """Read the Hello, accept it, acknowledge what it lists."""
        hello = await self.next(Hello)
        self.session.welcome(session, generation, callback_url=callback_url)
        for item in hello.held:
            self.session.send(Ack(item.run, item.epoch, item.acked_seq, resend=True))
        self.flush()
        return hello

    def send(self, *frames: EngineFrame) -> None:
        for frame in frames:
            self.session.send(frame)  # type: ignore[arg-type]
        self.flush()

    def say(self, frame: EngineFrame) -> None:
        """Send a frame past everything that waits. It is not counted, so nothing is said about numbers any more."""
        self.is_counting = False
        self.wire.down.put_nowait(encode_message([encode(frame)]))

    def flush(self) -> None:
        """Send what waits, such as the answers to beats."""
        for message in self.session.messages_to_send(now_ms()):
            self.wire.down.put_nowait(message if self.is_counting else without_numbers(message))

    async def next(self, kind: type[F], where: Callable[[F], bool] = lambda frame: True) -> F:
        """Return the next such frame; other ones stay."""
        while True:
            for frame in self.inbox:
                if isinstance(frame, kind) and where(frame):
                    self.inbox.remove(frame)
                    return frame
            if not await self._read():
                raise AssertionError(f"the connection ended without a {kind.__name__}")

    async def end(self) -> Sequence[FromWorker]:
        """Read until the worker closes; return what was not asked for."""
        while await self._read():
            pass
        return list(self.inbox)

    async def _read(self) -> bool:
        message = await self.wire.up.get()
        if message is None:
            self.is_over = True
            return False
        try:
            frames = self.session.receive(message, now_ms())
        except ProtocolError as error:  # the worker's fault: a test must see it
            raise AssertionError(str(error)) from error
        self.messages.append(frames)
        self.inbox.extend(frames)
        if not self.is_mute:
            self.flush()
        return True


def without_numbers(message: bytes) -> bytes:
    frames = [
        replace(frame, number=0, received=0) if isinstance(frame, BeatAck) else frame
        for frame in decode_engine_message(message)
    ]
    return encode_message([encode(frame) for frame in frames])


class Dock:
    """Where a worker dials to. `refuse(n)` fails the next n attempts."""

    def __init__(self) -> None:
        self.dialled_at_ms: list[int] = []
        self._failures: deque[DialFailed] = deque()
        self._arrived: asyncio.Queue[Wire] = asyncio.Queue()

    async def dial(self) -> Link:
        self.dialled_at_ms.append(now_ms())
        if self._failures:
            raise self._failures.popleft()
        wire = Wire()
        self._arrived.put_nowait(wire)
        return wire

    def refuse(self, times: int, retry_after_ms: int | None = None) -> None:
        self._failures.extend(DialFailed("nobody there", retry_after_ms) for _ in range(times))

    async def accept(self) -> Peer:
        """Return the next connection, before its Hello."""
        return Peer(await self._arrived.get())


def assign(run: str, function: str, value: object, epoch: int = 1, segments: tuple[Segment, ...] = ()) -> Assign:
    packed = msgspec.msgpack.encode(value)
    return Assign(run=run, epoch=epoch, function=function, attempt=1, ord=1, input=packed, segments=segments)


def garbage() -> bytes:
    return encode_message([b"\xc1"])
