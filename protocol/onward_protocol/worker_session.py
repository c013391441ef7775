"""The worker's end of a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from msgspec import structs

from onward_protocol.codec import Buffer, decode_engine_frame, decode_engine_message
from onward_protocol.connection import Connection
from onward_protocol.errors import CloseCode, LocalMisuse, ProtocolError
from onward_protocol.holdings import Holdings
from onward_protocol.journals import Journals, takes_slot
from onward_protocol.lease import Lease
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import (
    Ack,
    Assign,
    Beat,
    BeatAck,
    Bye,
    Cancel,
    Checkpoint,
    Drain,
    EngineFrame,
    Fence,
    GoAway,
    Halt,
    Hello,
    Log,
    Packed,
    Part,
    Refuse,
    Return,
    Stream,
    Wake,
    Welcome,
    WireLimits,
    WorkerFrame,
)
from onward_protocol.outbox import BARRIER, EXPRESS, IN_ORDER, Outgoing
from onward_protocol.packing import Packing
from onward_protocol.states import Phase

FromEngine = Welcome | Refuse | Assign | Ack | Wake | Cancel | Fence | Halt | GoAway
"""What `WorkerSession.receive` hands to its owner."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a worker reports about itself with each beat."""

    free_slots: int
    lag_ms: int = 0
    memory_bytes: int = 0
    counters: Mapping[str, int] = field(default_factory=dict[str, int])


class WorkerSession(Connection[EngineFrame, WorkerFrame]):
    """The worker's end of one connection. Creating it queues the Hello.

    `holdings` is the worker's own list of runs and `vitals` its state: both are read when a beat is made, so `holdings`
    has to show what the worker has really done with every frame that `receive` returned, and with every frame that it
    sent. `lease` outlives the session; all sessions of a worker share it. `packing` is used if Hello and Welcome name
    it.
    """

    def __init__(
        self,
        hello: Hello,
        *,
        holdings: Holdings,
        vitals: Callable[[], Vitals],
        lease: Lease,
        now_ms: int,
        times: Times | None = None,
        limits: Limits | None = None,
        packing: Packing | None = None,
    ) -> None:
        super().__init__(times=times or Times(), limits=limits or Limits(), packing=packing, now_ms=now_ms)
        self.session_id: str = ""
        self.generation: int = -1
        self._spent = 0
        self.seen: int = 0
        self._hello = hello
        self._holdings = holdings
        self._vitals = vitals
        self._lease = lease
        self._hello_at_ms = now_ms
        self._journals = Journals(self._limits)
        self._messages_sent = 0
        self._beats: dict[int, tuple[int, int]] = {}  # when each was made, and the number of its message
        self._beat_n = 0
        self._beat_at_ms = now_ms
        self._is_list_wanted = False
        self._is_beat_wanted = False
        self._is_retired = False
        self._is_guard = hello.role == "guard"
        self._queue(hello, BARRIER)

    def receive(self, message: Buffer, now_ms: int) -> list[FromEngine]:
        """Read one message and return the frames for the owner, in order. Raises `ProtocolError`."""
        is_over = self.phase is Phase.CLOSED
        self._last_received_ms = now_ms
        frames: list[FromEngine] = []
        for frame in self._read(message, decode_engine_message, decode_engine_frame):
            self._use(frame, frames, now_ms)
        self.seen += 1
        return [] if is_over else frames

    def send(self, frame: Checkpoint | Return | Stream | Log | Drain | Bye) -> None:
        """Queue a frame. Raises `LocalMisuse` in a phase in which it must not be sent; Bye is the last one."""
        if self._is_retired:
            raise LocalMisuse(f"{type(frame).__name__} belongs on the newest connection")
        self._queue(frame, _lane_up(frame))
        if isinstance(frame, Bye):
            self.end(CloseCode.NORMAL)

    def messages_to_send(self, now_ms: int) -> list[bytes]:
        """See `Connection`; with a beat if the engine has asked for one."""
        if self._is_beat_wanted and self._is_beating:
            self._queue(self._next_beat(now_ms, is_compared=False), EXPRESS)
        self._is_beat_wanted = False
        return super().messages_to_send(now_ms)

    @property
    def wants_write(self) -> bool:
        """Tell whether `messages_to_send` would return anything."""
        return self._is_beat_wanted or self._outbox.wants_write

    @property
    def deadline_ms(self) -> int | None:
        """The moment of the next `tick`; None: nothing to wait for."""
        dead_at_ms = self._dead_at_ms()
        if dead_at_ms is None or not self._is_beating:
            return dead_at_ms
        return min(dead_at_ms, self._beat_at_ms)

    @property
    def accepted(self) -> int:
        """How many slots the engine has spent here, less those of assignments that are not whole yet: the runs of these
        take no slot so far, and may still be taken back.
        """
        return self._spent - self._journals.slots

    def tick(self, now_ms: int) -> None:
        """Beat if it is time to. Raises `ProtocolError` with code `silent` if the engine is gone."""
        self._check_alive(now_ms)
        if self._is_beating and now_ms >= self._beat_at_ms:
            self._beat(now_ms)

    def forgive(self, now_ms: int) -> None:
        """Count the engine's silence anew: this process stood still, and what has arrived meanwhile is not read yet."""
        self._last_received_ms = max(self._last_received_ms, now_ms)

    def beat_soon(self) -> None:
        """Beat at the next `tick`, because a slot became free: nothing is assigned that no beat has granted."""
        self._beat_at_ms = min(self._beat_at_ms, self._last_received_ms)

    def may_start(self, now_ms: int) -> bool:
        """Tell whether a step may start now; see `Lease`."""
        return self._lease.may_start(now_ms)

    def lost(self, now_ms: int) -> None:
        """Note that the socket is gone. May be repeated."""
        self._lease.lost(self.generation, now_ms)
        self._journals.clear()
        self.phase = Phase.CLOSED

    def retire(self) -> None:
        """Send nothing here any more: the Hello of the next connection is on its way. Reading goes on until the end.

        That Hello does not list a run whose journal is not all here, so the engine gives it to somebody anew.
        """
        self._is_retired = True
        self._journals.clear()

    @property
    def _is_beating(self) -> bool:
        return self._is_live and not self._is_retired

    def _dead_at_ms(self) -> int | None:
        if self.phase is Phase.GREETED:
            return self._last_received_ms + self.times.dead_ms * self._hello_patience
        return self._last_received_ms + self.times.dead_ms if self._is_beating else None

    @property
    def _hello_patience(self) -> int:
        """A long list of runs takes its time on a poor line, and nothing can be heard before it is through."""
        return 1 + self._outbox.flow.unanswered // self._limits.flow_bytes_min

    def _use(self, frame: EngineFrame, frames: list[FromEngine], now_ms: int) -> None:
        match frame:
            case Ack() | GoAway():
                frames.append(frame)
            case BeatAck():
                self._renew(frame, now_ms)
            case Welcome():
                self._open(frame, now_ms)
                frames.append(frame)
            case Refuse():
                self.end(CloseCode.NORMAL)
                frames.append(frame)
            case Part() | Packed():
                raise AssertionError("the base puts them together")
            case _:
                self._spent += takes_slot(frame)
                frames += self._journals.take(frame)

    def _open(self, welcome: Welcome, now_ms: int) -> None:
        oldest, newest = self._hello.versions
        if not oldest <= welcome.version <= newest:
            raise ProtocolError("version", f"the engine chose {welcome.version}, offered were {oldest} to {newest}")
        self.session_id = welcome.session
        self.generation = welcome.generation
        self.times: Times = _times_of(welcome, self.times)
        self._outbox.limits = _narrowed(self._limits, welcome.limits)
        self._lease.opened(welcome.generation, self._hello_at_ms, self.times)
        self._outbox.flow.begin(now_ms)
        self._agree_on_packing(welcome.unpacks)
        self._beat_at_ms = now_ms

    def _sent(self, message: Outgoing[WorkerFrame]) -> None:
        self._messages_sent += 1
        for frame in message.frames:
            if isinstance(frame, Beat) and frame.n in self._beats:
                self._beats[frame.n] = (self._beats[frame.n][0], self._messages_sent)

    def _renew(self, ack: BeatAck, now_ms: int) -> None:
        if ack.n > self._beat_n:
            raise ProtocolError("out_of_turn", f"beat {ack.n} was answered, {self._beat_n} is the last one sent")
        made_at_ms, number = self._beats.pop(ack.n, (None, 0))
        self._compare_numbers(ack, number)
        if made_at_ms is not None:
            self._lease.renewed(self.generation, made_at_ms)
            self._beats = {n: made for n, made in self._beats.items() if n > ack.n}
            self._outbox.flow.answered(ack.n, now_ms, self.times.beat_ms)
        self._is_beat_wanted = self._is_beat_wanted or ack.want_beat
        if ack.want_held:
            self._is_list_wanted = True
            self.beat_soon()

    def _compare_numbers(self, ack: BeatAck, sent: int) -> None:
        """Notice what no connection may do: an acknowledgement that got lost would be waited for without end."""
        if (ack.number and ack.number != self.seen + 1) or (ack.received and sent and ack.received != sent):
            raise ProtocolError("out_of_turn", "a message was lost or repeated on the way")

    def _beat(self, now_ms: int) -> None:
        """Send a beat with a digest in its turn, and one that overtakes everything if that turn may be late."""
        self._beat_at_ms = now_ms + self.times.beat_ms
        if not self._is_guard:
            self._queue(self._next_beat(now_ms, is_compared=True), IN_ORDER)
            if not self._outbox.is_delayed:
                return
        self._queue(self._next_beat(now_ms, is_compared=False), EXPRESS)

    def _mark(self, now_ms: int) -> tuple[int, Beat]:
        beat = self._next_beat(now_ms, is_compared=False)
        return beat.n, beat

    def _next_beat(self, now_ms: int, *, is_compared: bool) -> Beat:
        vitals = self._vitals()
        self._beat_n += 1
        self._beats[self._beat_n] = (now_ms, 0)
        free_slots = vitals.free_slots if self.phase is Phase.OPEN else 0
        beat = Beat(
            n=self._beat_n,
            seen=self.seen,
            granted=self.accepted + max(0, free_slots),
            lag_ms=vitals.lag_ms,
            memory_bytes=vitals.memory_bytes,
            counters=dict(vitals.counters),
        )
        return self._compared(beat) if is_compared else beat

    def _compared(self, beat: Beat) -> Beat:
        """Add what is held, except for runs whose frames are still on their way, in parts or behind them."""
        apart = self._outbox.late_runs
        count, digest = self._holdings.without(apart)
        held = None
        if self._is_list_wanted:
            self._is_list_wanted = False
            held = tuple(item for item in self._holdings if item.run not in apart)
        return structs.replace(beat, count=count, digest=digest, held=held, apart=apart)


def _narrowed(ours: Limits, theirs: WireLimits) -> Limits:
    """Return limits for sending to a peer that may read less than we would write."""
    if theirs.message_bytes < 2 * ours.part_bytes:
        raise ProtocolError("malformed", f"messages of {theirs.message_bytes} bytes are too small to work with")
    return replace(
        ours,
        send_bytes_max=min(ours.send_bytes_max, theirs.message_bytes // 2),
        part_threshold_bytes=min(ours.part_threshold_bytes, theirs.part_bytes, theirs.message_bytes // 2),
    )


def _times_of(welcome: Welcome, times: Times) -> Times:
    return replace(
        times,
        beat_ms=max(1, welcome.beat_ms),
        dead_ms=max(1, welcome.dead_ms),
        lease_ms=welcome.lease_ms,
        grace_ms=welcome.grace_ms,
    )


def _lane_up(frame: Checkpoint | Return | Stream | Log | Drain | Bye) -> str:
    """Frames of a run keep their order; token streams and log lines have lanes of their own, out of its way."""
    match frame:
        case Checkpoint() | Return():
            return frame.run
        case Stream():
            return f"(stream) {frame.run}"
        case Log():
            return f"(log) {frame.run}"
        case Drain():
            return "(drain)"
        case Bye():
            return BARRIER
