"""One direction of one connection: bytes in order, each with the earliest moment at which it arrives."""

import contextvars
import enum
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tests.support.link import Direction, Link
from tests.support.loop import VirtualLoop

CHUNK_BYTES_MAX = 256 * 1024  # what asyncio's own transports read at once
SEGMENT_BYTES = 1460  # what a line of a limited speed delivers at once


class Signal(enum.Enum):
    """What TCP says beside bytes; it travels in order with them and is lost like them."""

    OPEN = "SYN"
    OPENED = "SYN-ACK"
    REFUSED = "RST to SYN"
    END = "FIN"
    RESET = "RST"


HANDSHAKE = (Signal.OPEN, Signal.OPENED, Signal.REFUSED)

Item = bytes | Signal


class End(Protocol):
    """One end of a connection, as far as a lane knows it."""

    def receive(self, item: Item) -> None:
        """Take what has arrived."""
        ...

    def drained(self) -> None:
        """Hear that the other end has read some of what this one wrote."""
        ...

    def reads(self) -> bool:
        """Say whether it takes bytes now."""
        ...


class Lane:
    """Carries items from one end to the other in order, under the conditions of the link."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        link: Link,
        direction: Direction,
        cut: Callable[[], None],
        record: Callable[[Direction, Item], None],
    ) -> None:
        self.context = contextvars.Context()  # of the receiving end; asyncio calls a protocol in its reader's context
        self.lossy = False
        self.unread = 0
        self._busy_until_s = 0.0
        self._loop, self._rng, self._link, self._direction = loop, rng, link, direction
        self._cut, self._record = cut, record
        self._under_way: deque[tuple[float, Item]] = deque()
        self._here = bytearray()
        self._armed = False
        self._closed = False

    def join(self, sender: End, receiver: End) -> None:
        """Set both ends; before anything is sent."""
        self._sender, self._receiver = sender, receiver

    def send(self, item: Item) -> None:
        """Put an item on its way."""
        if self._closed:
            return
        for segment in self._segments(item):
            flight_s = self._link.flight_ms(self._rng) / 1000
            self._under_way.append((self._sent_s(segment) + flight_s, segment))
        self.unread += len(item) if isinstance(item, bytes) else 0
        self.wake()

    def _segments(self, item: Item) -> list[Item]:
        if isinstance(item, Signal) or not self._link.carry_s(1):
            return [item]
        return [item[start : start + SEGMENT_BYTES] for start in range(0, len(item), SEGMENT_BYTES)]

    def _sent_s(self, item: Item) -> float:
        """Return when the last byte is on the line: behind all that was sent before."""
        carry_s = self._link.carry_s(len(item)) if isinstance(item, bytes) else 0
        self._busy_until_s = max(self._busy_until_s, self._loop.now_s) + carry_s
        return self._busy_until_s

    def drop_all_but(self, count: int) -> None:
        """Take back the newest bytes until no more than `count` are unread."""
        while self.unread > count and self._under_way:
            when, item = self._under_way.pop()
            if isinstance(item, bytes):
                kept = item[: max(0, len(item) - (self.unread - count))]
                self.unread -= len(item) - len(kept)
                self._under_way += [(when, kept)] if kept else []

    def close(self) -> None:
        """Drop what is under way and carry nothing more."""
        self._closed = True
        self._under_way.clear()
        self._here.clear()

    @property
    def has_ended(self) -> bool:
        """Whether an end has arrived, although the receiver may not have got so far."""
        if self._link.vanishes(self._direction) or self._link.stalls(self._direction):
            return False
        ends = (when for when, item in self._under_way if item in (Signal.END, Signal.RESET))
        return self._closed or next(ends, math.inf) <= self._loop.now_s

    def wake(self) -> None:
        """Go on when something is there to be delivered; harmless at any time."""
        if not self._armed and not self._held() and (when := self._next_s()) is not None:
            self._armed = True
            self._loop.happen_at(max(when, self._loop.now_s), self._arrive, context=self.context)

    def _next_s(self) -> float | None:
        if self._here:
            return self._loop.now_s
        return self._under_way[0][0] if self._under_way else None

    def _held(self) -> bool:
        if self._link.vanishes(self._direction):
            return False
        return self._link.stalls(self._direction) or not (self._receiver.reads() or self._shakes_hands())

    def _shakes_hands(self) -> bool:
        return not self._here and bool(self._under_way) and self._under_way[0][1] in HANDSHAKE

    def _arrive(self) -> None:
        self._armed = False
        if self._link.vanishes(self._direction):
            self._lose()
        elif not self._held():
            self._deliver()
        self.wake()

    def _lose(self) -> None:
        self._collect()
        self._here.clear()
        while self._under_way and self._under_way[0][0] <= self._loop.now_s:
            self._under_way.popleft()
        self.lossy = True

    def _deliver(self) -> None:
        self._collect()
        if self._here:
            self._deliver_bytes()
        elif self._under_way and self._under_way[0][0] <= self._loop.now_s:
            self._hand_over(self._under_way.popleft()[1])

    def _deliver_bytes(self) -> None:
        count = self._link.chunk_bytes(self._rng, min(len(self._here), CHUNK_BYTES_MAX))
        count = self._link.until_cut(self._direction, count)
        chunk = bytes(self._here[:count])
        del self._here[:count]
        self.unread -= count
        self._hand_over(chunk)
        self._sender.drained()
        if self._link.spend(self._direction, count):
            self._cut()

    def _hand_over(self, item: Item) -> None:
        self._record(self._direction, item)
        self._receiver.receive(item)

    def _collect(self) -> None:
        """Gather the bytes that have arrived one behind the other; TCP keeps no borders between writes."""
        while self._under_way and self._under_way[0][0] <= self._loop.now_s:
            item = self._under_way[0][1]
            if isinstance(item, Signal):
                return
            self._here += item
            self._under_way.popleft()
