"""One link with its session: receive, hand over, flush, and keep time.

Frames that become ready in the same turn of the event loop leave in one message, because the writer only runs in the
next turn. While the link takes no bytes, frames wait in the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Bye, Checkpoint, Drain, Log, Return, Stream
from onward_protocol.session import FromEngine, WorkerSession
from onward_protocol.states import Phase

from onward.link import Link

Clock = Callable[[], int]


class Uplink:
    """Carries one connection from its Hello to its end.

    `use` gets every frame for the owner; `prepare` is called before a beat can be made, to bring holdings and credit up
    to date. `send` may be called from any context on the loop.
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
        self._wake = asyncio.Event()
        self._wake.set()
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = clock_ms()
        self._silence: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Tell whether frames can be sent: welcomed, and not at its end."""
        return Phase.OPEN <= self.session.phase < Phase.CLOSED

    def send(self, frame: Checkpoint | Return | Stream | Log | Drain | Bye) -> None:
        """Queue a frame; it is written in the next turn of the loop."""
        self.session.send(frame)
        self._wake.set()

    def go_away(self, reconnect_after_ms: int) -> None:
        """Note that the engine wants the next connection to be opened after so long; this one goes on meanwhile."""
        self.reconnect_after_ms = reconnect_after_ms
        self.going_away.set()

    async def run(self) -> None:
        """Carry frames until the session is over. Raises `LinkLost`, `ProtocolError`, and what `use` raises."""
        parts = [asyncio.create_task(self._read()), asyncio.create_task(self._write()), self._silence]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        except ProtocolError as error:
            self.session.close_code = error.close_code
            raise
        finally:
            await self._end(parts)

    async def _read(self) -> None:
        while True:
            message = await self._link.receive()
            for frame in self.session.receive(message, self._clock_ms()):
                self._use(self, frame)
            self._wake.set()

    async def _write(self) -> None:
        while not self._is_over:
            await self._wake.wait()
            self._wake.clear()
            self._prepare(self)
            self.session.tick(self._clock_ms())
            for message in self.session.messages_to_send():
                await self._link.send(message)
            if self.session.wants_write:
                self._wake.set()
            self._set_timer(self.session.deadline_ms)

    @property
    def _is_over(self) -> bool:
        return self.session.close_code is not None and not self.session.wants_write

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
        self._timer = None
        self.lag_ms = max(0, self._clock_ms() - self._due_ms)
        try:
            self._prepare(self)
            self.session.tick(self._clock_ms())
        except ProtocolError as silence:
            if not self._silence.done():
                self._silence.set_exception(silence)
            return
        self._wake.set()
        self._set_timer(self.session.deadline_ms)

    async def _end(self, parts: Sequence[asyncio.Future[None]]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        self.session.lost(self._clock_ms())
        await self._link.close(int(self.session.close_code or 1000))
