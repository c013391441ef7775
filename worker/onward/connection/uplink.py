"""One link with its session: receive, hand over, flush, and keep time.

Frames that become ready in the same turn of the event loop leave in one message, because they are collected in the
next turn. They are written there and then; only while the link takes no bytes does a task wait for it, and frames wait
in the session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial

from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Bye, Checkpoint, Drain, Log, Return, Stream
from onward_protocol.session import FromEngine, WorkerSession
from onward_protocol.states import Phase

from onward.connection.inbox import Inbox
from onward.connection.link import Link, LinkLost

Clock = Callable[[], int]


class Uplink:
    """Carries one connection from its Hello to its end.

    `use` gets every frame for the owner; `prepare` is called before a beat can be made, and asks for one if there is
    more credit to give. `send` may be called from any context on the loop.
    """

    def __init__(
        self,
        link: Link,
        session: WorkerSession,
        *,
        clock_ms: Clock,
        use: Callable[[Uplink, FromEngine], None],
        prepare: Callable[[Uplink], None],
    ) -> None:
        self.session = session
        self.going_away: asyncio.Event = asyncio.Event()
        self.reconnect_after_ms: int = 0
        self.lag_ms: int = 0
        self._link = link
        self._clock_ms = clock_ms
        self._use = use
        self._prepare = prepare
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._inbox = Inbox(
            self._take_safely, clock_ms=clock_ms, call_soon=partial(self._loop.call_soon, context=self._context)
        )
        self._backlog: deque[bytes] = deque()
        self._is_scheduled = False
        self._is_writing = False
        self._is_running = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = clock_ms()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Tell whether frames can be sent: welcomed, and not at its end."""
        return Phase.OPEN <= self.session.phase < Phase.CLOSED

    @property
    def is_gone(self) -> bool:
        """Tell whether the engine's end is gone, although its last words may not be read yet."""
        return self._link.is_gone()

    def send(self, frame: Checkpoint | Return | Stream | Log | Drain | Bye) -> None:
        """Queue a frame; it is written in the next turn of the loop."""
        self.session.send(frame)
        self.flush()

    def flush(self) -> None:
        """Look in the next turn of the loop whether there is something to say, such as new credit."""
        if self._is_running and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._write_now, context=self._context)

    def go_away(self, reconnect_after_ms: int) -> None:
        """Note that the engine wants the next connection to be opened after so long; this one goes on meanwhile."""
        self.reconnect_after_ms = reconnect_after_ms
        self.going_away.set()

    async def run(self) -> None:
        """Carry frames until the session is over. Raises `LinkLost`, `ProtocolError`, and what `use` raises."""
        self._is_running = True
        parts = [self._failure, asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:  # what the engine has said counts before what it did then, such as to hang up
                if part.done():
                    part.result()
        except ProtocolError as error:
            self.session.close_code = error.close_code
            raise
        finally:
            await self._end(parts)

    async def _read(self) -> None:
        while True:
            try:
                message = await self._link.receive()
            except LinkLost:
                self._inbox.take_rest()
                raise
            self._received(message)
            self._link.listen(self._received)

    def _received(self, message: bytes) -> None:
        """Take a message where it arrives: a task in between would cost a step more than the message itself."""
        if self._is_running:
            self._inbox.put(message)

    def _take_safely(self, message: bytes) -> bool:
        try:
            return self._is_running and self._take(message)
        except Exception as error:  # noqa: BLE001 - it ends this connection, and nothing else
            self._fail(error)
            return False

    def _take(self, message: bytes) -> bool:
        """Use a message. Returns whether there was something in it for the owner."""
        session, now_ms = self.session, self._clock_ms()
        frames = session.receive(message, now_ms)
        for frame in frames:
            self._use(self, frame)
        self._prepare(self)
        deadline_ms = session.deadline_ms
        if session.wants_write or (deadline_ms is not None and deadline_ms <= now_ms) or self._is_over:
            self.flush()
        return bool(frames)

    def _write_now(self) -> None:
        """Write what there is, unless something waits before it."""
        self._is_scheduled = False
        if not self._is_running:
            return
        if not self._is_writing and not self._backlog:
            try:
                self._collect()
            except ProtocolError as silence:
                self._fail(silence)
                return
            while self._backlog and self._link.write(self._backlog[0]):
                self._backlog.popleft()
            self._inbox.go_on()
        if self._backlog or self.session.wants_write or self._is_over:
            self._wake.set()

    async def _write(self) -> None:
        """Write what has to wait for the link."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._is_writing = True
            self._collect()
            while self._backlog:
                await self._link.send(self._backlog.popleft())
                if not self._backlog and self.session.wants_write:
                    self._collect()
            self._is_writing = False
            if self._is_over:
                return

    def _collect(self) -> None:
        """Take the next messages out of the session, with a beat if one is due. Raises `ProtocolError`."""
        self._notice_lag()
        self._prepare(self)
        now_ms = self._clock_ms()
        self.session.tick(now_ms)
        self._backlog.extend(self.session.messages_to_send(now_ms))
        self._set_timer(self.session.deadline_ms)

    @property
    def _is_over(self) -> bool:
        return self.session.close_code is not None and self.session.is_drained

    def _set_timer(self, at_ms: int | None) -> None:
        if at_ms is None or (self._timer is not None and self._due_ms <= at_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_ms = at_ms
        delay_s = max(0, at_ms - self._clock_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def _on_time(self) -> None:
        """Beat, or notice the silence, also while the writer waits for a link that takes no bytes."""
        self._notice_lag()
        self._timer = None
        try:
            self._prepare(self)
            self.session.tick(self._clock_ms())
        except ProtocolError as silence:
            self._fail(silence)
            return
        self.flush()
        self._set_timer(self.session.deadline_ms)

    def _notice_lag(self) -> None:
        """If the loop stood still for long, the engine's silence is no wonder: its messages wait to be read."""
        if self._timer is None:
            return
        self.lag_ms = max(0, self._clock_ms() - self._due_ms)
        if self.lag_ms > self.session.times.dead_ms // 4:
            self.session.forgive(self._clock_ms())

    def _fail(self, error: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    async def _end(self, parts: Sequence[asyncio.Future[None]]) -> None:
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        self.session.lost(self._clock_ms())
        await self._link.close(int(self.session.close_code or 1000))
