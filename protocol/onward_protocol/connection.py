"""What both ends of a connection have in common: phases, parts, messages and silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from onward_protocol.codec import Buffer
from onward_protocol.errors import CloseCode, LocalMisuse, ProtocolError
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import EngineFrame, Part, WorkerFrame
from onward_protocol.outbox import Outbox
from onward_protocol.parts import Assembler
from onward_protocol.states import GUARD_KINDS, Phase, after_receiving, after_sending, kind_of

I = TypeVar("I", bound=WorkerFrame | EngineFrame)  # noqa: E741 - in and out
O = TypeVar("O", bound=WorkerFrame | EngineFrame)  # noqa: E741


class Connection(Generic[I, O]):
    """One end of one connection, without a socket and without a clock.

    All methods are plain calls that take `now_ms` of any monotonic clock, always the same one.
    """

    def __init__(self, *, times: Times, limits: Limits, now_ms: int) -> None:
        self.phase: Phase = Phase.NEW
        self.times: Times = times
        self.close_code: CloseCode | None = None
        self._limits = limits
        self._outbox: Outbox[O] = Outbox(limits)
        self._assembler = Assembler(limits)
        self._last_received_ms = now_ms
        self._is_guard = False

    @property
    def wants_write(self) -> bool:
        """Tell whether `messages_to_send` would return anything."""
        return self._outbox.wants_write

    @property
    def _is_live(self) -> bool:
        return Phase.OPEN <= self.phase < Phase.CLOSED

    def _end(self, code: CloseCode) -> None:
        """The connection is over when everything is written."""
        self.close_code = code

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
        for frame in frames:
            if not isinstance(frame, Part):
                yield frame
                continue
            data = self._assembler.add(frame)
            if data is not None:
                yield decode_frame(data)

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
