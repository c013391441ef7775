"""The frames that wait to be written, and which of them may overtake a large one.

* A frame of a run stays behind earlier frames of that run (its *lane*); frames of other lanes pass it.
* An *express* frame, such as a plain beat, waits for nothing.
* A *barrier* frame, such as GoAway, stays behind everything before it and in front of everything after it.

As long as no large frame is under way, all of them leave in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from onward_protocol.codec import encode, encode_message
from onward_protocol.limits import Limits
from onward_protocol.messages import EngineFrame, WorkerFrame
from onward_protocol.parts import Cutter

F = TypeVar("F", bound=WorkerFrame | EngineFrame)

EXPRESS = "(express)"
BARRIER = "(barrier)"


@dataclass(frozen=True, slots=True)
class Outgoing(Generic[F]):
    """One message to write, and the frames that are complete at the peer when it has read it."""

    data: bytes
    frames: tuple[F, ...]


@dataclass(slots=True)  # not frozen: one is made for every frame, and freezing doubles the time
class _Item(Generic[F]):
    frame: F
    data: bytes
    lane: str


@dataclass(frozen=True, slots=True)
class _Stream(Generic[F]):
    item: _Item[F]
    cutter: Cutter


class Outbox(Generic[F]):
    """Frames on their way to the socket."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._express: deque[_Item[F]] = deque()
        self._ready: deque[_Item[F]] = deque()
        self._lanes: dict[str, deque[_Item[F]]] = {}  # each begins with a large frame that is not written yet
        self._waiting: deque[_Item[F]] = deque()  # large frames at the head of their lanes, no stream yet
        self._open: deque[_Stream[F]] = deque()
        self._open_bytes = 0
        self._behind: deque[_Item[F]] = deque()  # a barrier that has to wait, and all that came after it
        self._streams = 0

    def push(self, frame: F, lane: str) -> None:
        """Queue a frame in a lane, or as `EXPRESS` or `BARRIER`."""
        item = _Item(frame, encode(frame), lane)
        if lane == EXPRESS:
            self._express.append(item)
        elif self._behind or self._is_barred(item):
            self._behind.append(item)
        else:
            self._admit(item)

    def take(self) -> list[Outgoing[F]]:
        """Return the messages to write now, in order: all small frames, and large ones up to a limit."""
        messages: list[Outgoing[F]] = []
        batch: list[tuple[bytes, F | None]] = []
        size = 0
        for data, frame in self._pieces():
            if batch and size + len(data) > self.limits.send_bytes_max:
                messages.append(_message(batch))
                batch, size = [], 0
            batch.append((data, frame))
            size += len(data)
        return [*messages, _message(batch)] if batch else messages

    @property
    def wants_write(self) -> bool:
        """Tell whether anything waits to be written."""
        return bool(self._express or self._ready or self._lanes)

    @property
    def is_delayed(self) -> bool:
        """Tell whether a large frame is under way, so that a frame queued now might overtake an earlier one."""
        return bool(self._lanes)

    def _admit(self, item: _Item[F]) -> None:
        lane = self._lanes.get(item.lane)
        if lane is not None:
            lane.append(item)
        elif len(item.data) <= self.limits.part_threshold_bytes:
            self._ready.append(item)
        else:
            self._lanes[item.lane] = deque((item,))
            self._waiting.append(item)

    def _is_barred(self, item: _Item[F]) -> bool:
        return BARRIER in self._lanes or (item.lane == BARRIER and bool(self._lanes))

    def _pieces(self) -> Iterator[tuple[bytes, F | None]]:
        """Yield encoded frames and parts, each with the frame that it completes. Small ones always go before parts."""
        budget = self.limits.flush_parts_bytes
        while True:
            for queue in (self._express, self._ready):
                while queue:
                    item = queue.popleft()
                    yield item.data, item.frame
            self._open_streams()
            if budget <= 0 or not self._open:
                return
            data, frame = self._next_part()
            budget -= len(data)
            yield data, frame

    def _open_streams(self) -> None:
        while self._waiting and self._has_room(self._waiting[0]):
            item = self._waiting.popleft()
            self._open.append(_Stream(item, Cutter(self._streams, item.data, self.limits.part_bytes)))
            self._open_bytes += len(item.data)
            self._streams += 1

    def _has_room(self, item: _Item[F]) -> bool:
        """The peer keeps unfinished frames in memory and refuses more than this."""
        fits = self._open_bytes + len(item.data) <= self.limits.assembly_bytes_max
        return not self._open or (fits and len(self._open) < self.limits.streams_max)

    def _next_part(self) -> tuple[bytes, F | None]:
        stream = self._open.popleft()
        data = stream.cutter.next()
        if not stream.cutter.is_done:
            self._open.append(stream)
            return data, None
        self._open_bytes -= len(stream.item.data)
        self._leave_lane(stream.item.lane)
        return data, stream.item.frame

    def _leave_lane(self, name: str) -> None:
        lane = self._lanes.pop(name)
        lane.popleft()
        for item in lane:  # the first large one takes the lane again, and the rest follow it
            self._admit(item)
        while self._behind and not self._is_barred(self._behind[0]):
            self._admit(self._behind.popleft())


def _message(batch: list[tuple[bytes, F | None]]) -> Outgoing[F]:
    data = encode_message([data for data, _ in batch])
    return Outgoing(data, tuple(frame for _, frame in batch if frame is not None))
