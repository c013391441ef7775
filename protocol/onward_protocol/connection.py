"""What both ends of a connection have in common: phases, parts, messages and silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from onward_protocol.codec import Buffer, encode
from onward_protocol.errors import CloseCode, LocalMisuse, ProtocolError
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import EngineFrame, Packed, Part, WorkerFrame
from onward_protocol.outbox import Outbox, Outgoing
from onward_protocol.packing import Packing, unpack
from onward_protocol.parts import Assembler
from onward_protocol.states import GUARD_KINDS, Phase, after_receiving, after_sending, kind_of

I = TypeVar("I", bound=WorkerFrame | EngineFrame)  # noqa: E741 - in and out
O = TypeVar("O", bound=WorkerFrame | EngineFrame)  # noqa: E741


class Connection(Generic[I, O]):
    """One end of one connection, without a socket and without a clock.

    All methods are plain calls that take `now_ms` of any monotonic clock, always the same one.
    """

    def __init__(self, *, times: Times, limits: Limits, packing: Packing | None, now_ms: int) -> None:
        self.phase: Phase = Phase.NEW
        self.times: Times = times
        self.close_code: CloseCode | None = None
        self._limits = limits
        self._packing = packing
        self._outbox: Outbox[O] = Outbox(limits)
        self._assembler = Assembler(limits)
        self._last_received_ms = now_ms
        self._is_guard = False

    def messages_to_send(self, now_ms: int) -> list[bytes]:
        """Return the messages to write now, oldest first.

        While `wants_write` is true there is more: call it again when the socket has taken these. What is held back
        until the peer has answered for earlier messages comes after that answer; `is_drained` tells whether it has.
        """
        messages: list[bytes] = []
        flow, size = self._outbox.flow, 0
        while size < self._limits.flow_bytes_max and (message := self._outbox.take()) is not None:
            size += message.size
            if flow.wrote(message.size, is_last=self._outbox.is_empty):
                number, mark = self._mark(now_ms)
                message.add(encode(mark), mark)
                flow.mark(number, now_ms)
            self._sent(message)
            messages.append(message.encoded())
        return messages

    @property
    def wants_write(self) -> bool:
        """Tell whether `messages_to_send` would return anything."""
        return self._outbox.wants_write

    @property
    def is_drained(self) -> bool:
        """Tell whether `messages_to_send` has returned everything."""
        return self._outbox.is_empty

    @property
    def waiting_bytes(self) -> int:
        """How much of what was sent `messages_to_send` has not returned yet."""
        return self._outbox.waiting_bytes

    def waits_ms(self, now_ms: int) -> int:
        """Return for how long the peer has not answered for what it was sent; 0 if it has."""
        return self._outbox.flow.waits_ms(now_ms)

    def _mark(self, now_ms: int) -> tuple[int, O]:
        """Return a frame that the peer answers once it has read the message with it, and the number of the answer."""
        raise NotImplementedError

    def _sent(self, message: Outgoing[O]) -> None:
        """Note that a message is complete."""

    @property
    def _is_live(self) -> bool:
        return Phase.OPEN <= self.phase < Phase.CLOSED

    def end(self, code: CloseCode) -> None:
        """The connection is over when everything is written. May be repeated: the first code stays."""
        if self.close_code is None:
            self.close_code = code
        self._outbox.flow.end()

    def _queue(self, frame: O, lane: str) -> None:
        kind = kind_of(frame)
        after = after_sending(self.phase, kind)
        if after is None or (self._is_guard and kind not in GUARD_KINDS):
            raise LocalMisuse(f"{kind} must not be sent in phase {self.phase.name}")
        self.phase = after
        self._outbox.push(frame, lane)

    def _read(
        self, message: Buffer, decode: Callable[[Buffer], list[I]], decode_frame: Callable[[Buffer], I]
    ) -> Iterator[I]:
        """Yield the frames of a message, put together and legal in this phase, which they have moved already."""
        if len(message) > self._limits.message_bytes_max:
            raise ProtocolError("too_large", f"a message of {len(message)} bytes")
        for frame in self._whole(decode(message), decode_frame):
            self._move(kind_of(frame))
            yield frame

    def _whole(self, frames: Iterable[I], decode_frame: Callable[[Buffer], I]) -> Iterator[I]:
        for received in frames:
            frame = received
            if isinstance(frame, Part):
                data = self._assembler.add(frame)
                if data is None:
                    continue
                frame = decode_frame(data)
            yield decode_frame(self._unpacked(frame)) if isinstance(frame, Packed) else frame

    def _unpacked(self, frame: Packed) -> bytes:
        if self._packing is None or self.phase < Phase.OPEN:
            raise ProtocolError("out_of_turn", "packed frames were not agreed on")
        return unpack(self._packing, frame.data, self._limits)

    def _agree_on_packing(self, unpacks: tuple[str, ...]) -> None:
        """Pack from now on, if the peer can unpack it."""
        if self._packing is not None and self._packing.name in unpacks:
            self._outbox.packing = self._packing

    def _move(self, kind: str) -> None:
        after = after_receiving(self.phase, kind)
        if after is None or (self._is_guard and kind not in GUARD_KINDS):
            raise ProtocolError("out_of_turn", f"{kind} must not be sent in phase {self.phase.name}")
        self.phase = after

    def _check_alive(self, now_ms: int) -> None:
        dead_at_ms = self._dead_at_ms()
        if dead_at_ms is not None and now_ms >= dead_at_ms:
            raise ProtocolError("silent", f"nothing was received for {now_ms - self._last_received_ms} ms")

    def _dead_at_ms(self) -> int | None:
        raise NotImplementedError
