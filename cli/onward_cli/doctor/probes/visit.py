"""A worker without functions: it says Hello, beats, and leaves. The engine gives it nothing to do."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

from onward.connection.link import Link, LinkLost
from onward.connection.uplink import Uplink
from onward.ids import new_id
from onward_protocol.errors import ProtocolError
from onward_protocol.holdings import Holdings
from onward_protocol.lease import Lease
from onward_protocol.limits import VERSIONS
from onward_protocol.messages import Bye, Hello, Refuse, Welcome
from onward_protocol.session import FromEngine, Vitals, WorkerSession

from onward_cli.doctor.evidence import Clocks, Greeting, Silence

ANSWER_S: Final = 10
"""A worker is taken in by a transaction, which may wait for a slow disk."""

BEAT_S: Final = 5
"""A beat is answered without the store."""

LABELS: Final = {"doctor": "visiting"}

Ended = Literal["", "cut", "silent", "closed"]


class Visit:
    """One visit, over an open link. `begin`, then the rest, and at last `leave`."""

    def __init__(self, link: Link) -> None:
        self._tap = _Tap(link)
        self._asked_at_ms = _wall_ms()
        self._answered: asyncio.Future[tuple[Greeting, Clocks | None]] = asyncio.get_running_loop().create_future()
        self._uplink = Uplink(self._tap, _session(), clock_ms=_now_ms, use=self._use, prepare=lambda _: None)
        self._running = asyncio.create_task(self._uplink.run())

    async def begin(self) -> tuple[Greeting, Clocks | None]:
        """Wait for the engine's answer; with a Welcome it says what time it is there."""
        either: set[asyncio.Future[Any]] = {self._answered, self._running}
        await asyncio.wait(either, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if self._answered.done():
            return self._answered.result()
        ended = self._ending()[1] if self._running.done() else f"no answer within {ANSWER_S} s"
        return Greeting(ended=ended), None

    async def round_trips(self, count: int) -> list[float]:
        """Return how many milliseconds so many beats took, there and back. Ends early when one is not answered."""
        trips: list[float] = []
        while len(trips) < count and (took_ms := await self._beat()) is not None:
            trips.append(took_ms)
        return trips

    async def stay(self, seconds: float) -> Silence:
        """Let only beats pass for so long, and see whether the connection is there at the end."""
        await asyncio.wait({self._running}, timeout=seconds)
        quiet_s, is_there = self._tap.quiet_s, await self._beat() is not None
        ended, reason = self._ending(is_there=is_there)
        return Silence(
            asked_s=seconds,
            beat_s=self._uplink.session.times.beat_ms / 1000,
            lived_s=self._tap.age_s,
            quiet_s=quiet_s,
            survived_s=self._tap.longest_s,
            ended=ended,
            reason=reason,
        )

    async def leave(self) -> None:
        """Say goodbye, if anybody listens."""
        if self._uplink.is_open:
            self._uplink.send(Bye(()))
            await asyncio.wait({self._running}, timeout=1)
        self._running.cancel()
        with suppress(LinkLost, ProtocolError, asyncio.CancelledError):
            await self._running

    def _use(self, _uplink: Uplink, frame: FromEngine) -> None:
        match frame:
            case Welcome():
                clocks = Clocks(engine_at_ms=frame.time_ms, asked_at_ms=self._asked_at_ms, heard_at_ms=_wall_ms())
                self._answered.set_result((Greeting(engine=frame.engine, version=frame.version), clocks))
            case Refuse():
                self._answered.set_result((Greeting(refused=frame.code, message=frame.message), None))
            case _:
                pass  # a GoAway: the engine stops

    async def _beat(self) -> float | None:
        """Beat now; return how many milliseconds the answer took, or None if there is none."""
        began_s = time.perf_counter()
        heard = asyncio.create_task(self._tap.next_message())
        self._uplink.session.beat_soon()
        self._uplink.flush()
        await asyncio.wait({heard, self._running}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        return (time.perf_counter() - began_s) * 1000 if heard.done() and not heard.cancelled() else None

    def _ending(self, *, is_there: bool = False) -> tuple[Ended, str]:
        """Return how the connection ended."""
        if is_there:
            return "", ""
        if not self._running.done():
            return "silent", f"no answer to a beat within {BEAT_S} s"
        match self._running.exception():
            case ProtocolError(code="silent") as error:
                return "silent", error.message
            case None:
                return "closed", "the engine ended it"
            case LinkLost(is_cut=True) as error:
                return "cut", str(error)
            case error:
                return "closed", str(error)


class _Tap:
    """A link that knows when something was last received."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._began_s = self._heard_s = time.monotonic()
        self._heard = asyncio.Event()
        self.longest_s = 0.0
        """The longest time without a message that was followed by one."""

    @property
    def quiet_s(self) -> float:
        """For how long nothing was received."""
        return time.monotonic() - self._heard_s

    @property
    def age_s(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self._began_s

    async def next_message(self) -> None:
        """Wait for something to be received."""
        self._heard.clear()
        await self._heard.wait()

    async def receive(self) -> bytes:
        """Return the next message."""
        message = await self._link.receive()
        self._note()
        return message

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Hand messages to `received`."""

        def hand_over(message: bytes) -> None:
            self._note()
            received(message)

        self._link.listen(hand_over)

    def write(self, message: bytes) -> bool:
        """Hand a message to the transport."""
        return self._link.write(message)

    async def send(self, message: bytes) -> None:
        """Hand a message to the transport."""
        await self._link.send(message)

    async def close(self, code: int = 1000) -> None:
        """Flush and close."""
        await self._link.close(code)

    def is_gone(self) -> bool:
        """Tell whether the other end is gone."""
        return self._link.is_gone()

    def _note(self) -> None:
        self.longest_s = max(self.longest_s, self.quiet_s)
        self._heard_s = time.monotonic()
        self._heard.set()


def _session() -> WorkerSession:
    hello = Hello(
        versions=VERSIONS,
        instance=new_id("wrk"),
        python=platform.python_version(),
        labels=LABELS,
    )
    return WorkerSession(hello, holdings=Holdings(), vitals=lambda: Vitals(0), lease=Lease(), now_ms=_now_ms())


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
