"""The frames that wait to be written, and which of them may overtake a large one.

* A frame of a run stays behind earlier frames of that run (its *lane*); frames of other lanes pass it.
* An *express* frame, such as a plain beat, waits for nothing, not even for the flow.
* A frame *in order*, such as a digest, stays behind small frames before it, and is overtaken by nothing.
* A *barrier* frame, such as GoAway, stays behind everything before it and in front of everything after it.

A frame is large if it does not fit into one message as the flow would have it now; it leaves in parts. As long as none
is under way, all frames leave in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from onward_protocol.codec import encode, encode_message
from onward_protocol.flow import Flow
from onward_protocol.limits import Limits
from onward_protocol.messages import EngineFrame, WorkerFrame
from onward_protocol.packing import Packing, pack
from onward_protocol.parts import Cutter

F = TypeVar("F", bound=WorkerFrame | EngineFrame)

EXPRESS = "(express)"
IN_ORDER = "(in order)"
BARRIER = "(barrier)"


class Outgoing(Generic[F]):
    """One message to write, and the frames that are complete at the peer when it has read it."""

    __slots__ = ("_pieces", "frames", "size")

    def __init__(self) -> None:
        self.frames: list[F] = []
        self.size: int = 0
        self._pieces: list[bytes] = []

    def add(self, data: bytes, frame: F | None) -> None:
        """Append an encoded frame, or a part and the frame that it completes."""
        self._pieces.append(data)
        self.size += len(data)
        if frame is not None:
            self.frames.append(frame)

    def encoded(self) -> bytes:
        """Return the message."""
        return encode_message(self._pieces)


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
        self.flow: Flow = Flow(limits)
        self.packing: Packing | None = None
        self._express: deque[_Item[F]] = deque()
        self._ready: deque[_Item[F]] = deque()
        self._ready_bytes = 0
        self.waiting_bytes: int = 0
        """Bytes that are not taken, except of express frames."""
        self._lanes: dict[str, deque[_Item[F]]] = {}  # each begins with a large frame that is not written yet
        self._waiting: deque[_Item[F]] = deque()  # large frames at the head of their lanes, no stream yet
        self._open: deque[_Stream[F]] = deque()
        self._open_bytes = 0
        self._behind: deque[_Item[F]] = deque()  # a barrier that has to wait, and all that came after it
        self._streams = 0

    def push(self, frame: F, lane: str) -> None:
        """Queue a frame in a lane, or as `EXPRESS`, `IN_ORDER` or `BARRIER`."""
        data = encode(frame)
        if self.packing is not None:
            data = pack(self.packing, data, self.limits)
        item = _Item(frame, data, lane)
        if lane == EXPRESS:
            self._express.append(item)
            return
        self.waiting_bytes += len(data)
        if lane == IN_ORDER and self._is_large(item):
            item.lane = BARRIER
        if self._behind or self._is_barred(item):
            self._behind.append(item)
        else:
            self._admit(item)

    def take(self) -> Outgoing[F] | None:
        """Return the next message to write, with as much as it should hold: small frames before parts of large ones."""
        if not (self._express or self.waiting_bytes):
            return None
        message: Outgoing[F] = Outgoing()
        while self._express:
            item = self._express.popleft()
            message.add(item.data, item.frame)
        if self._may_fill:
            self._fill(message, min(self.flow.message_bytes, self.limits.send_bytes_max))
        return message if message.size else None

    @property
    def wants_write(self) -> bool:
        """Tell whether `take` would return anything."""
        return bool(self._express) or self._may_fill

    @property
    def _may_fill(self) -> bool:
        return self.waiting_bytes > 0 and self.flow.has_room(self.waiting_bytes)

    @property
    def is_empty(self) -> bool:
        """Tell whether everything was taken."""
        return not (self._express or self.waiting_bytes)

    @property
    def is_delayed(self) -> bool:
        """Tell whether a frame in order that was queued last may be late."""
        is_barred = bool(self._behind) or BARRIER in self._lanes
        return is_barred or self.flow.unanswered + self._ready_bytes > self.flow.size

    @property
    def late_runs(self) -> tuple[str, ...]:
        """The runs with frames that others may overtake: large ones, and what is behind them."""
        return tuple(lane for lane in self._lanes if not lane.startswith("("))

    def _fill(self, message: Outgoing[F], bytes_max: int) -> None:
        """Parts wait until everything else is out: it may be a barrier, and they belong behind it."""
        while (self._add_ready if self._ready else self._add_part)(message, bytes_max):
            pass

    def _add_ready(self, message: Outgoing[F], bytes_max: int) -> bool:
        size = len(self._ready[0].data)
        if message.size and message.size + size > bytes_max:
            return False
        item = self._ready.popleft()
        self._ready_bytes -= size
        self.waiting_bytes -= size
        message.add(item.data, item.frame)
        return True

    def _add_part(self, message: Outgoing[F], bytes_max: int) -> bool:
        self._open_streams()
        room = bytes_max - message.size
        if not self._open or (message.size and room < bytes_max // 4):
            return False
        message.add(*self._next_part(min(room, self.limits.part_bytes)))
        return True

    def _admit(self, item: _Item[F]) -> None:
        lane = self._lanes.get(item.lane)
        if lane is not None:
            lane.append(item)
        elif self._is_large(item) and item.lane != IN_ORDER:
            self._lanes[item.lane] = deque((item,))
            self._waiting.append(item)
        else:
            self._ready.append(item)
            self._ready_bytes += len(item.data)

    def _is_large(self, item: _Item[F]) -> bool:
        size = len(item.data)
        return size > self.flow.message_bytes or size > self.limits.part_threshold_bytes

    def _is_barred(self, item: _Item[F]) -> bool:
        return BARRIER in self._lanes or (item.lane == BARRIER and bool(self._lanes))

    def _open_streams(self) -> None:
        while self._waiting and self._has_room(self._waiting[0]):
            item = self._waiting.popleft()
            self._open.append(_Stream(item, Cutter(self._streams, item.data)))
            self._open_bytes += len(item.data)
            self._streams += 1

    def _has_room(self, item: _Item[F]) -> bool:
        """The peer keeps unfinished frames in memory and refuses more than this."""
        fits = self._open_bytes + len(item.data) <= self.limits.assembly_bytes_max
        return not self._open or (fits and len(self._open) < self.limits.streams_max)

    def _next_part(self, part_bytes: int) -> tuple[bytes, F | None]:
        stream = self._open.popleft()
        left = stream.cutter.left
        data = stream.cutter.next(part_bytes)
        self.waiting_bytes -= left - stream.cutter.left
        if stream.cutter.left:
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
