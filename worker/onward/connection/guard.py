"""The second connection of a worker whose process cannot speak: made by another process, which watches over it.

It keeps the worker's runs for it, and in the end says what became of the process.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable

from onward_protocol.errors import ProtocolError
from onward_protocol.holdings import Holdings
from onward_protocol.lease import Lease
from onward_protocol.limits import VERSIONS, Times
from onward_protocol.messages import Bye, GoAway, Hello, Refuse, Welcome
from onward_protocol.session import FromEngine, Vitals, WorkerSession

from onward.connection.link import Dial, DialFailed, Link, LinkLost, Refused
from onward.connection.reconnect import Reconnect
from onward.connection.uplink import Clock, Uplink
from onward.watch import Identity


class Guard:
    """Speaks for one worker. Make it, and call everything, in one event loop."""

    def __init__(
        self,
        worker: Identity,
        *,
        dial: Dial,
        uniform: Callable[[float, float], float],
        clock_ms: Clock,
    ) -> None:
        self.is_welcome: asyncio.Event = asyncio.Event()
        self._worker = worker
        self._clock_ms = clock_ms
        self._dial = dial
        self._reconnect = Reconnect(uniform, Times())
        self._uplink: Uplink | None = None
        self._bye: Bye | None = None

    async def hold(self) -> None:
        """Keep the worker's runs until this is cancelled: then nothing is said, and the worker speaks for itself. After
        `bye` it returns when that was said. Raises `Refused` if the engine does not know this worker.
        """
        retry_after_ms: int | None = None
        while True:
            await asyncio.sleep(self._reconnect.pause_ms(self._clock_ms(), retry_after_ms) / 1000)
            retry_after_ms = None
            try:
                await self._carry(await self._dial())
            except DialFailed as failure:
                retry_after_ms = failure.retry_after_ms
            except (LinkLost, ProtocolError):
                continue
            else:
                if self._bye is not None:
                    return

    def bye(self, reason: str, exit_status: int | None = None) -> None:
        """Say that the worker's process is dead, or given up: others go on with its runs."""
        self._bye = Bye((), reason, exit_status)
        self._say_bye()

    async def _carry(self, link: Link) -> None:
        session = WorkerSession(
            self._hello(),
            holdings=Holdings(),
            vitals=lambda: Vitals(0),
            lease=Lease(),
            now_ms=self._clock_ms(),
        )
        self._uplink = Uplink(link, session, clock_ms=self._clock_ms, use=self._use, prepare=lambda _: None)
        try:
            await self._uplink.run()
        finally:
            self._uplink = None

    def _hello(self) -> Hello:
        worker = self._worker
        return Hello(
            versions=VERSIONS,
            instance=worker.instance,
            role="guard",
            session=worker.session,
            generation=worker.generation,
            python=platform.python_version(),
        )

    def _use(self, uplink: Uplink, frame: FromEngine) -> None:
        match frame:
            case Welcome():
                self._reconnect.connected(self._clock_ms())
                self.is_welcome.set()
                self._say_bye()
            case Refuse():
                raise Refused(frame.message, code="E0405")
            case GoAway():
                raise LinkLost("the engine stops")
            case _:
                raise AssertionError("its session lets nothing else pass")

    def _say_bye(self) -> None:
        if self._bye is not None and self._uplink is not None and self._uplink.is_open:
            self._uplink.send(self._bye)
