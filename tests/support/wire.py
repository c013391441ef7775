"""Connections that carry whole messages over the links of a network, without sockets, bytes and handshakes below.

They have the same conditions and faults as connections that carry bytes - latency, cuts, black holes, stalls, and the
host whose process may stand still - for a fraction of the cost. And they can do what no connection does: lose a message
or bring it twice, and live on.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import math
import random
from collections import deque
from collections.abc import Callable

from onward.connection.link import DialFailed, LinkLost
from onward_engine.connection import Receiver
from onward_engine.engine import Engine
from onward_protocol.codec import decode_engine_message, decode_worker_message
from onward_protocol.messages import Journal

from tests.support.link import Direction, Link
from tests.support.loop import VirtualLoop
from tests.support.network import Network
from tests.support.overheard import Overheard

OPEN_S = 3
"""A worker waits so long for a connection; see its real link."""

CLOSE_S = 1
"""An engine waits so long for the answer to its close."""


class Sign(enum.Enum):
    """What travels beside messages, in order with them."""

    OPEN = "open"
    OPENED = "opened"
    END = "end"


Item = bytes | Sign
Door = Callable[[], tuple[Engine, contextvars.Context] | None]
"""The engine that can be reached now, and the context of its process."""


class MessageLane:
    """One direction: messages in order, each some time under way. What arrives runs in the receiver's `context`."""

    def __init__(self, wires: Wires, link: Link, way: Direction) -> None:
        self.context = contextvars.Context()
        self.is_lossy = False
        self.deliver: Callable[[Item], None] = _nowhere
        self.cut: Callable[[], None] = _nowhere
        self._wires, self._link, self._way = wires, link, way
        self._under_way: deque[Item] = deque()
        self._end_at_s = math.inf
        self._last_s = 0.0
        self._stalled = 0
        self._is_closed = False

    @property
    def bytes(self) -> int:
        """How much is under way."""
        return sum(len(item) for item in self._under_way if isinstance(item, bytes))

    def send(self, item: Item, *, is_safe: bool = False) -> None:
        """Put a message on its way; unless it `is_safe`, perhaps not at all, or twice."""
        if self._is_closed:
            return
        for _ in range(1 if is_safe or isinstance(item, Sign) else self._link.copies(self._wires.rng)):
            flight_s = self._link.flight_ms(self._wires.rng) / 1000
            self._last_s = max(self._last_s, self._wires.loop.now_s + flight_s)
            self._under_way.append(item)
            self._end_at_s = self._last_s if item is Sign.END else self._end_at_s
            self._wires.loop.happen_at(self._last_s, self._arrive, context=self.context)

    @property
    def has_ended(self) -> bool:
        """Whether its end has arrived, although a process that stands still has not noticed."""
        is_held = self._link.vanishes(self._way) or self._link.stalls(self._way)
        return self._is_closed or (self._wires.loop.now_s >= self._end_at_s and not is_held)

    def close(self) -> None:
        """Drop what is under way, and carry nothing more."""
        self._is_closed = True
        self._under_way.clear()

    def wake(self) -> None:
        """Let arrive what a stall has held back."""
        stalled, self._stalled = self._stalled, 0
        for _ in range(stalled):
            self._wires.loop.happen_at(self._wires.loop.now_s, self._arrive, context=self.context)

    def _arrive(self) -> None:
        if not self._under_way:
            return
        if self._link.vanishes(self._way):
            self._under_way.popleft()
            self.is_lossy = True
        elif self._link.stalls(self._way):
            self._stalled += 1
        else:
            self._hand_over(self._under_way.popleft())

    def _hand_over(self, item: Item) -> None:
        size = len(item) if isinstance(item, bytes) else 0
        is_whole = self._link.until_cut(self._way, size) == size
        is_cut = self._link.spend(self._way, size)
        if is_whole:
            self._wires.note(self._way, item)
            self.deliver(item)
        if is_cut:
            self.cut()


class EngineEnd:
    """The engine's end: implements `Transport`."""

    def __init__(self, wire: Wire, up: MessageLane, down: MessageLane, loop: VirtualLoop) -> None:
        self.is_over = False
        self._wire, self._up, self._down, self._loop = wire, up, down, loop
        self._receiver: Receiver | None = None
        self._waiting: deque[bytes] = deque()
        self._is_paused = False

    @property
    def peer(self) -> str:
        """See `Transport`."""
        return "wire"

    @property
    def is_writable(self) -> bool:
        """Nothing waits on a wire."""
        return True

    @property
    def unsent_bytes(self) -> int:
        """Nothing waits on a wire."""
        return 0

    def listen(self, receiver: Receiver) -> None:
        """Tell `receiver` everything from now on."""
        self._receiver = receiver

    def write(self, message: bytes) -> None:
        """Send a message. The pages of a journal rely on what TCP promises: that none in the middle is missing."""
        if not self.is_over:
            frames = decode_engine_message(message)
            self._wire.overheard.told(frames)
            self._down.send(message, is_safe=any(isinstance(frame, Journal) for frame in frames))

    def pause(self) -> None:
        """Keep what arrives."""
        self._is_paused = True

    def resume(self) -> None:
        """Hand over what was kept."""
        self._is_paused = False
        while self._waiting and not self._is_paused:
            self.take(self._waiting.popleft())

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; without an answer it ends all the same."""
        del code, reason
        self._down.send(Sign.END)
        self._loop.call_later(CLOSE_S, self.lose)

    def abort(self) -> None:
        """End it now."""
        if not self.is_over:
            self._down.send(Sign.END)
            self._loop.call_soon(self.lose)

    def take(self, item: Item) -> None:
        """Take what has arrived."""
        if self._receiver is None or self.is_over:
            return
        if item is Sign.END:
            self.lose()
        elif isinstance(item, bytes) and self._is_paused:
            self._waiting.append(item)
        elif isinstance(item, bytes):
            self._receiver.received(item)

    def lose(self) -> None:
        """Hear that it is over. May be repeated."""
        if not self.is_over:
            self.is_over = True
            self._up.close()
            self._wire.forget()
            if self._receiver is not None:
                self._receiver.lost()


class WorkerEnd:
    """The worker's end: implements `Link` of its connection."""

    def __init__(self, wire: Wire, up: MessageLane, down: MessageLane) -> None:
        self.is_over = False
        self._wire, self._up, self._down = wire, up, down
        self._came: deque[bytes] = deque()
        self._received: Callable[[bytes], None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def receive(self) -> bytes:
        """Return the next message."""
        while not self._came:
            if self.is_over:
                raise LinkLost("the connection broke")
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._came.popleft()

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand messages to `received` as they arrive."""
        if not self._came:
            self._received = received

    def write(self, message: bytes) -> bool:
        """Send a message."""
        if not self.is_over:
            self._wire.overheard.said(decode_worker_message(message))
            self._up.send(message)
        return not self.is_over

    async def send(self, message: bytes) -> None:
        """Send a message."""
        if not self.write(message):
            raise LinkLost("the connection broke")

    async def close(self, code: int = 1000) -> None:
        """End it behind everything that was sent."""
        del code
        if not self.is_over:
            self._up.send(Sign.END)
            self.lose()

    def is_gone(self) -> bool:
        """Tell whether the other end is gone."""
        return self._down.has_ended

    def take(self, item: Item) -> None:
        """Take what has arrived."""
        if item is Sign.OPENED:
            self._wire.opened()
        elif item is Sign.END:
            self._up.send(Sign.END)
            self.lose()
        elif isinstance(item, bytes) and not self.is_over:
            self._hand_over(item)

    def _hand_over(self, message: bytes) -> None:
        if self._received is not None:
            self._received(message)
        else:
            self._came.append(message)
            self._wake()

    def lose(self) -> None:
        """Hear that it is over. May be repeated."""
        self.is_over = True
        self._down.close()
        self._wire.forget()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Wire:
    """One connection: two lanes, two ends. Faults see it like any other (`Connected`)."""

    def __init__(self, wires: Wires, links: tuple[Link, ...]) -> None:
        self.overheard = wires.overheard
        self._wires, self._links = wires, links
        self._up = MessageLane(wires, links[0], Direction.TO_SERVER)
        self._down = MessageLane(wires, links[0], Direction.TO_CLIENT)
        self.engine = EngineEnd(self, self._up, self._down, wires.loop)
        self.worker = WorkerEnd(self, self._up, self._down)
        self._up.deliver, self._down.deliver = self._at_engine, self.worker.take
        self._up.cut = self._down.cut = self.reset
        self._opened: asyncio.Future[None] = wires.loop.create_future()
        for link in links:
            link.connections.append(self)

    async def open(self) -> None:
        """Reach the engine. Raises `TimeoutError` or `LinkLost`."""
        self._down.context = contextvars.copy_context()
        self._up.send(Sign.OPEN)
        async with asyncio.timeout(OPEN_S):
            await self._opened
        if self.worker.is_over:
            raise LinkLost("the connection broke")

    def opened(self) -> None:
        """Hear that the engine has taken it in, or that it is over."""
        if not self._opened.done():
            self._opened.set_result(None)

    def reset(self) -> None:
        """Break it for both ends at once."""
        self._up.close()
        self._wires.loop.happen_at(self._wires.loop.now_s, self.engine.lose, context=self._up.context)
        self.break_for_client()

    def hang_up(self) -> None:
        """Break it for the worker; what it has written still arrives."""
        self._up.send(Sign.END)
        self.break_for_client()

    def break_for_client(self) -> None:
        """Break it for the worker alone."""
        self._down.close()
        self._wires.loop.happen_at(self._wires.loop.now_s, self.worker.lose, context=self._down.context)

    def under_way(self, direction: Direction) -> int:
        """Return how many bytes were sent and have not arrived."""
        return (self._up if direction is Direction.TO_SERVER else self._down).bytes

    def wake(self) -> None:
        """Go on after a repair; where messages are missing it can only break."""
        if self._up.is_lossy or self._down.is_lossy:
            self.reset()
        self._up.wake()
        self._down.wake()

    def forget(self) -> None:
        """Hear that an end is over. No fault meets it any more when both are."""
        self.opened()
        if self.engine.is_over and self.worker.is_over:
            for link in self._links:
                if self in link.connections:
                    link.connections.remove(self)

    def _at_engine(self, item: Item) -> None:
        if item is not Sign.OPEN:
            self.engine.take(item)
            return
        host = None if self._links[0].refuses() else self._wires.door()
        if host is None:
            self._down.send(Sign.END)
            self.engine.is_over = True
        else:
            engine, self._up.context = host
            asyncio.get_running_loop().call_soon(self._accept, engine, context=self._up.context)

    def _accept(self, engine: Engine) -> None:
        self._down.send(Sign.OPENED)
        engine.gateway.attach(self.engine)


class Wires:
    """All such connections of a simulation. `trace` is what arrived, if it `keeps_trace`."""

    def __init__(
        self, network: Network, loop: VirtualLoop, rng: random.Random, door: Door, overheard: Overheard
    ) -> None:
        self.loop, self.rng, self.door = loop, rng, door
        self.overheard = overheard
        self.keeps_trace = False
        self.trace: list[tuple[float, Direction, Item]] = []
        self._network = network

    async def dial(self, host: str) -> WorkerEnd:
        """Connect from a host. Raises `DialFailed`."""
        wire = Wire(self, (self._network.link(host), self._network))
        try:
            await wire.open()
        except (TimeoutError, LinkLost) as failure:
            wire.hang_up()
            raise DialFailed(f"no engine is reached: {failure}") from failure
        return wire.worker

    def note(self, way: Direction, item: Item) -> None:
        """Note what has arrived."""
        if self.keeps_trace:
            self.trace.append((self.loop.now_s, way, item))


def _nowhere(*_: object) -> None:
    """Before the two ends are joined."""
