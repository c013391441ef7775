"""The engine's end of a connection."""

from __future__ import annotations

from onward_protocol.codec import Buffer, decode_worker_frame, decode_worker_message
from onward_protocol.connection import Connection
from onward_protocol.errors import CloseCode, ProtocolError
from onward_protocol.holdings import Difference
from onward_protocol.limits import VERSIONS, Limits, Times
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
    Journal,
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
from onward_protocol.mirror import Mirror
from onward_protocol.outbox import BARRIER, EXPRESS, Outgoing
from onward_protocol.packing import Packing
from onward_protocol.states import Phase
from onward_protocol.versions import common_version, version_advice

FromWorker = Hello | Checkpoint | Beat | Return | Stream | Log | Drain | Bye | Difference
"""What `EngineSession.receive` hands to its owner."""


class EngineSession(Connection[WorkerFrame, EngineFrame]):
    """The engine's end of one connection. It waits for a Hello; the owner answers with `welcome` or `refuse`.

    `hello` is set once it arrived, `mirror` is the picture of what this worker holds.
    """

    def __init__(
        self,
        *,
        now_ms: int,
        times: Times | None = None,
        limits: Limits | None = None,
        versions: tuple[int, int] = VERSIONS,
        packing: Packing | None = None,
    ) -> None:
        super().__init__(times=times or Times(), limits=limits or Limits(), packing=packing, now_ms=now_ms)
        self.hello: Hello | None = None
        self.version: int = 0
        self.session_id: str = ""
        self.generation: int = -1
        self.renews: bool = True
        """Whether an answered beat renews the worker's lease. Otherwise the answer names an older beat: it only says
        that this end lives.
        """
        self.granted: int = 0
        self.spent: int = 0
        self.mirror: Mirror = Mirror()
        self._versions = versions
        self._messages_sent = 0
        self._messages_received = 0
        self._beat_n = 0
        self._renewed_n = 0
        self._is_list_asked = False

    def receive(self, message: Buffer, now_ms: int) -> list[FromWorker]:
        """Read one message and return the frames for the owner, in order. Raises `ProtocolError`.

        A `Difference` follows the Beat that brought a list which differs from `mirror`; the mirror has taken the list
        over. A Hello of another protocol version is refused here and not returned.
        """
        self._last_received_ms = now_ms
        self._messages_received += 1
        frames: list[FromWorker] = []
        for frame in self._read(message, decode_worker_message, decode_worker_frame):
            assert not isinstance(frame, Part | Packed), "the base puts them together"
            self._use(frame, frames)
        return frames

    def welcome(
        self, session: str, generation: int, *, engine: str = "", time_ms: int = 0, callback_url: str = ""
    ) -> None:
        """Accept the worker. What follows is exactly one Ack, with `resend`, or one Fence for each run of its Hello."""
        self.session_id = session
        self.generation = generation
        times, limits = self.times, wire_limits(self._limits)
        frame = Welcome(
            version=self.version,
            session=session,
            generation=generation,
            beat_ms=times.beat_ms,
            dead_ms=times.dead_ms,
            lease_ms=times.lease_ms,
            grace_ms=times.grace_ms,
            limits=limits,
            engine=engine,
            time_ms=time_ms,
            unpacks=(self._packing.name,) if self._packing else (),
            callback_url=callback_url,
        )
        self._queue(frame, BARRIER)
        self._agree_on_packing(self.hello.unpacks if self.hello else ())
        self._outbox.flow.begin(self._last_received_ms)

    def refuse(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        """Answer the Hello with a reason that a person can act on. The connection is over when it is written."""
        self._queue(Refuse(code, message, retry_after_ms), BARRIER)
        self.end(CloseCode.REFUSED)

    def send(self, frame: Assign | Journal | Ack | Wake | Cancel | Fence | Halt | GoAway) -> None:
        """Queue a frame. Raises `LocalMisuse` in a phase in which it must not be sent; see `may_assign`."""
        self._queue(frame, BARRIER if isinstance(frame, GoAway) else frame.run)
        self.mirror.promise(frame)
        if isinstance(frame, Assign) or (isinstance(frame, Wake) and frame.slot):
            self.spent += 1

    @property
    def deadline_ms(self) -> int | None:
        """The moment of the next `tick`; None: nothing to wait for."""
        return self._dead_at_ms()

    def tick(self, now_ms: int) -> None:
        """Raise `ProtocolError` with code `silent` if the worker is gone."""
        self._check_alive(now_ms)

    @property
    def is_guard(self) -> bool:
        """Tell whether this connection only keeps the lease of another one."""
        return self._is_guard

    @property
    def may_assign(self) -> bool:
        """Tell whether an Assign, or a Wake with a slot, may be sent at all: no Drain came and no GoAway went."""
        return self.phase is Phase.OPEN and not self._is_guard

    @property
    def credit(self) -> int:
        """How many slots the worker has granted that nothing was sent for."""
        return max(0, self.granted - self.spent) if self.may_assign else 0

    def _dead_at_ms(self) -> int | None:
        if self.phase is Phase.NEW:
            return self._last_received_ms + self.times.hello_ms  # a long one comes in parts
        return self._last_received_ms + self.times.dead_ms if self._is_live else None

    def _mark(self, now_ms: int) -> tuple[int, BeatAck]:
        del now_ms
        number = self._messages_sent + 1
        return number, BeatAck(self._renewed_n, want_beat=True, number=number)

    def _sent(self, message: Outgoing[EngineFrame]) -> None:
        self._messages_sent += 1
        for frame in message.frames:
            self.mirror.sent(self._messages_sent, frame)

    def _use(self, frame: FromWorker, frames: list[FromWorker]) -> None:
        match frame:
            case Hello():
                if not self._greet(frame):
                    return
            case Checkpoint():
                self.mirror.checkpoint(frame)
            case Return():
                self.mirror.returned(frame)
            case Bye():
                self.end(CloseCode.NORMAL)
            case _:
                pass
        frames.append(frame)
        if isinstance(frame, Beat):
            frames.extend(self._answer(frame))

    def _greet(self, hello: Hello) -> bool:
        """Choose a version, or refuse: return whether there is one."""
        if len({item.run for item in hello.held}) != len(hello.held):
            raise ProtocolError("malformed", "a run is listed twice in Hello.held")
        version = common_version(self._versions, hello.versions)
        if version is None:
            self.refuse("version", version_advice(self._versions, hello.versions))
            return False
        self.version = version
        self.hello = hello
        self._is_guard = hello.role == "guard"
        self.mirror = Mirror(hello.held)
        return True

    def _answer(self, beat: Beat) -> list[Difference]:
        """Renew the lease, take the credit and compare what is held."""
        if beat.seen > self._messages_sent:
            raise ProtocolError("out_of_turn", f"message {beat.seen} was seen, {self._messages_sent} were sent")
        if beat.n > self._beat_n:
            self._beat_n, self.granted = beat.n, beat.granted
        self._outbox.flow.answered(beat.seen, self._last_received_ms, self.times.beat_ms)
        found = self._compare(beat)
        if self.renews:
            self._renewed_n = max(beat.n, self._renewed_n)
        n = beat.n if self.renews else self._renewed_n
        number = self._messages_sent + 1  # it leaves with the next message, whatever else waits
        self._queue(BeatAck(n, want_held=found is None, number=number, received=self._messages_received), EXPRESS)
        return [found] if found else []

    def _compare(self, beat: Beat) -> Difference | None:
        """Return how the worker's list differs, or None if the list has to be asked for.

        Only beats with a digest are compared, and only they move the mirror on: the others may have overtaken them.
        """
        if beat.digest is None or self._is_guard:
            return Difference()
        self.mirror.seen(beat.seen)
        if beat.held is not None:
            self._is_list_asked = False
            return self.mirror.adopt(beat.held, apart=frozenset(beat.apart))
        ours = self.mirror.holdings.without(frozenset(beat.apart))
        if self._is_list_asked or (beat.count, beat.digest) == ours:
            return Difference()
        self._is_list_asked = True
        return None


def wire_limits(limits: Limits) -> WireLimits:
    """Return what a Welcome tells the worker of the engine's limits."""
    return WireLimits(
        message_bytes=limits.message_bytes_max,
        part_bytes=limits.part_threshold_bytes,
        output_bytes=limits.output_bytes_max,
        event_bytes=limits.event_bytes_max,
        state_bytes=limits.state_bytes_max,
        steps_per_run=limits.steps_per_run_max,
    )
