"""One worker's connection: a shell around its session, between a transport and the rest of the engine.

    transport -> received -> session -> gateway
    commit, dispatch, progress -> send -> session -> (end of the commit) flush -> transport

Nothing here waits, and no task belongs to it: a message that arrives is used at once, and everything that one commit
has to say to a worker leaves in one message. It decides nothing about runs; when it ends, the gateway hands them on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from onward_protocol.errors import CloseCode, ProtocolError
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Arrived,
    Assign,
    Beat,
    Cancel,
    Fence,
    GoAway,
    Halt,
    Hello,
    Journal,
    Returned,
    Wake,
)
from onward_protocol.session import EngineSession, FromWorker
from onward_protocol.states import Phase

from .clock import Clock
from .packing import find_zstd
from .settings import Settings

_VERSION_CHARS_MAX = 128
_FRAME_BYTES = 64  # a small frame and what it costs to keep

FrameToWorker = Assign | Journal | Ack | Wake | Cancel | Fence | Halt | GoAway


class Receiver(Protocol):
    """Who is told what happens on a transport."""

    def received(self, message: bytes) -> None:
        """A whole message arrived."""
        ...

    def writable(self) -> None:
        """The peer has taken enough: go on writing."""
        ...

    def lost(self) -> None:
        """It is over, for whatever reason. Called once, and last."""
        ...


class Transport(Protocol):
    """A pipe that keeps messages apart: a WebSocket, or two queues in one process. No call waits or raises."""

    @property
    def peer(self) -> str:
        """The other end, for the log."""
        ...

    def listen(self, receiver: Receiver) -> None:
        """Tell `receiver` everything from now on, and what has arrived already."""
        ...

    def write(self, message: bytes) -> None:
        """Send a message; after the end it is dropped."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether the peer reads fast enough for more."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How much the peer has not taken of what was written."""
        ...

    def pause(self) -> None:
        """Read no more until `resume`; a message that has arrived already may still come."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say why, and end it; a peer that does not answer is cut off after a moment. May be repeated."""
        ...

    def abort(self) -> None:
        """End it now. May be repeated."""
        ...


class Connection:
    """One connection of one worker. Each frame that arrives is given to `use`, its end to `ended`."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        settings: Settings,
        *,
        use: Callable[[Connection, FromWorker], None],
        ended: Callable[[Connection], None],
        may_renew: Callable[[], bool] = lambda: True,
    ) -> None:
        self.session: EngineSession = EngineSession(
            now_ms=clock.monotonic_ms(), times=settings.times, limits=settings.limits, packing=find_zstd()
        )
        self.transport = transport
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connected_at_ms: int = clock.wall_ms()
        self.instance: str = ""
        self.generation: int = 0
        self.functions: frozenset[str] = frozenset()
        self.versions: dict[str, str] = {}
        self.vitals: Beat | None = None
        self.fault: str = ""  # why it ended, if not by a goodbye
        self.is_newest: bool = False  # welcome, and not replaced by a newer one
        self.is_left_alone: bool = False  # it was given a run that may kill it, and gets nothing else for a moment
        self.is_guarded: bool = False  # its process stands still, and another one keeps its lease
        self.is_paused: bool = False  # not read, because the store cannot keep up
        self.reserved = 0  # slots that claims and admissions in the commit queue may fill
        self.uncommitted_bytes = 0  # of this worker's frames in the commit queue
        self.ready: OrderedDict[str, int] = OrderedDict()  # runs parked here that want a slot: run -> epoch
        self.unflushed: dict[Connection, None] = {}  # where `send` notes that there is something to flush
        self.on_progress: Callable[[], None] | None = None  # called when something was written, and at the end
        self._use = use
        self._ended = ended
        self._may_renew = may_renew
        self._clock = clock
        self._times = settings.times
        self._outbound_bytes_max = settings.bounds.outbound_bytes_max
        self._outbound_bytes = 0
        self._written_bytes = 0
        self._taken_bytes = 0
        self._progress_at_ms = clock.monotonic_ms()
        self._readable_at_ms = clock.monotonic_ms() - settings.times.dead_ms
        self._watch_at_ms = clock.monotonic_ms()
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to listen, and to look after silence and blockage."""
        self._watch()
        self.transport.listen(self)

    # -- for dispatch and progress -------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        """Slots that nothing was sent or queued for. A worker that stands still has none."""
        return self.session.credit - self.reserved if self.is_newest and not self.is_guarded else 0

    @property
    def is_assignable(self) -> bool:
        """Whether an Assign may be sent now."""
        return self.is_newest and self.session.may_assign

    def send(self, frame: FrameToWorker) -> None:
        """Send a frame with everything else of this commit.

        On a connection that is over, or not the newest, it is dropped: the worker is told the same when it resumes.
        """
        if self.is_newest and Phase.OPEN <= self.session.phase < Phase.CLOSED:
            self.session.send(frame)
            self._count(frame)
            self.unflushed[self] = None

    def fence(self, run: str, epoch: int, reason: str) -> None:
        """Tell the worker that it no longer owns a run."""
        self.send(Fence(run, epoch, reason))

    def go_away(self, reconnect_after_ms: int) -> None:
        """Say that nothing is assigned here any more, and when to open the next connection. May be repeated."""
        if self.session.phase < Phase.MOVING:
            self.send(GoAway(reconnect_after_ms))

    # -- for the gateway -----------------------------------------------------------------------------------------------

    def begin(self, hello: Hello, generation: int) -> None:
        """Note who is at the other end."""
        self.session.hello = hello
        self.instance = hello.instance
        self.generation = generation
        self.functions = frozenset(
            function.id
            for app in hello.apps
            for function in app.functions
            if function.labels.items() <= hello.labels.items()
        )
        self.versions = {function.id: _version_of(app) for app in hello.apps for function in app.functions}

    def flush(self) -> None:
        """Write what is queued, as far as the peer reads; a session that is over then closes the transport."""
        session, transport = self.session, self.transport
        while transport.is_writable and session.wants_write:
            for message in session.messages_to_send(self._clock.monotonic_ms()):
                transport.write(message)
                self._written_bytes += len(message)
        if self.on_progress is not None:
            self.on_progress()
        if session.is_drained:
            self._outbound_bytes = 0
            if session.close_code is not None:
                transport.close(session.close_code, self.fault)

    def end(self, code: CloseCode) -> None:
        """Close it once everything that is queued is written; nothing more is sent or accepted. May be repeated."""
        self.is_newest = False
        self.session.end(code)
        self.flush()

    def pause(self) -> None:
        """Do not read: silence is not the worker's fault now."""
        self.is_paused = True
        self.transport.pause()

    def resume(self) -> None:
        """Read again. What arrived meanwhile is found in a moment, so silence counts anew."""
        self.is_paused = False
        self._readable_at_ms = self._clock.monotonic_ms()
        self.transport.resume()

    def forgive(self) -> None:
        """Count its silence, and what it does not take, anew: there is a good reason for both."""
        self._readable_at_ms = self._progress_at_ms = self._clock.monotonic_ms()

    def view(self) -> dict[str, Any]:
        """Return what people see of this worker."""
        hello, beat = self.session.hello, self.vitals
        return {
            "instance": self.instance,
            "generation": self.generation,
            "apps": sorted(app.name for app in hello.apps) if hello else [],
            "sdk": hello.sdk if hello else "",
            "python": hello.python if hello else "",
            "labels": hello.labels if hello else {},
            "slots": hello.slots if hello else 0,
            "free": self.free,
            "held": len(self.session.mirror.holdings),
            "draining": not self.session.may_assign,
            "lag_ms": beat.lag_ms if beat else 0,
            "memory_bytes": beat.memory_bytes if beat else 0,
            "connected_at_ms": self.connected_at_ms,
        }

    # -- for the transport ---------------------------------------------------------------------------------------------

    def received(self, message: bytes) -> None:
        """Use the frames of a message. Garbage closes this connection and harms nobody else."""
        if self.generation and not self.is_newest and self.session.phase >= Phase.OPEN:
            return  # the worker speaks on a newer connection, or has said goodbye
        self.session.renews = self._may_renew()
        try:
            for frame in self.session.receive(message, self._clock.monotonic_ms()):
                self._use(self, frame)
        except ProtocolError as error:
            self.fault = str(error)
            self.transport.close(error.close_code, error.message)
            return
        if self.session.wants_write or self.session.close_code is not None:
            self.flush()

    def writable(self) -> None:
        """Go on writing."""
        self.flush()

    def lost(self) -> None:
        """Note that the transport has ended."""
        self.session.phase = Phase.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)
            self._ended(self)
        if self.on_progress is not None:
            self.on_progress()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _count(self, frame: FrameToWorker) -> None:
        """Give up a worker that does not read. What it asked for with its credit may be large, and does not count."""
        if isinstance(frame, Assign):
            return
        self._outbound_bytes += _FRAME_BYTES + (_payload_bytes(frame) if isinstance(frame, Wake) else 0)
        if self._outbound_bytes > self._outbound_bytes_max and not self._is_read:
            self.fault = f"blocked: {self._outbound_bytes} bytes wait for it"
            self.transport.abort()

    @property
    def _is_read(self) -> bool:
        """Whether the peer reads what it is sent: it answers, however slowly, and the transport takes more."""
        waits_ms = self.session.waits_ms(self._clock.monotonic_ms())
        return self.transport.is_writable and waits_ms <= self._times.beat_ms

    def _watch(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._watch_at_ms > self._times.dead_ms // 4:
            self.forgive()  # this process was stopped: what the worker sent meanwhile is in the socket, not read yet
        self.fault = self.fault or self._silence(now_ms) or self._blockage(now_ms)
        if self.fault:
            self.transport.abort()
            return
        deadline_ms = self.session.deadline_ms or now_ms + self._times.dead_ms
        deadline_ms = max(deadline_ms, self._readable_at_ms + self._times.dead_ms)
        delay_ms = max(1, min(deadline_ms - now_ms, self._times.blocked_ms // 4))
        self._watch_at_ms = now_ms + delay_ms
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._watch)

    def _silence(self, now_ms: int) -> str:
        if self.is_paused or now_ms - self._readable_at_ms < self._times.dead_ms:
            return ""
        try:
            if self.session.deadline_ms is not None and now_ms >= self.session.deadline_ms:
                self.session.tick(now_ms)
        except ProtocolError as error:
            return str(error)
        return ""

    def _blockage(self, now_ms: int) -> str:
        unsent = self.transport.unsent_bytes
        taken = self._written_bytes - unsent
        if unsent <= 0 or taken != self._taken_bytes:
            self._taken_bytes = taken
            self._progress_at_ms = now_ms
        blocked_ms = now_ms - self._progress_at_ms
        return f"blocked: no byte was taken for {blocked_ms} ms" if blocked_ms >= self._times.blocked_ms else ""


def _payload_bytes(wake: Wake) -> int:
    size = 0
    for entry in wake.entries:
        if isinstance(entry, Arrived):
            size += len(entry.event.data)
        elif isinstance(entry, Returned):
            size += len(entry.value)
    return size


def _version_of(app: AppManifest) -> str:
    """Return the version of an App as it is kept with runs: one that is not a short line of text counts as none."""
    return app.version if app.version.isprintable() and len(app.version) <= _VERSION_CHARS_MAX else ""
