"""The worker as a service: connect, come back whenever the connection is lost, and in the end leave in good order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Never

import structlog
from msgspec import Struct
from onward_protocol.busy_poll import BusyPoll
from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Times

from onward.checkpoint import Checkpoint
from onward.connection.conversation import Conversation, Profile
from onward.connection.link import Dial, DialFailed, Link, LinkLost, Refused
from onward.connection.reconnect import Reconnect
from onward.connection.uplink import Clock, Uplink
from onward.function import Function
from onward.host import StepCall
from onward.run.runner import Runner, own_body
from onward.watch import Watch, watched

State = Literal["new", "connecting", "connected", "draining", "stopped"]
Connection = Literal["none", "open", "lost"]


class Health(Struct, frozen=True, kw_only=True):
    """How a worker is at this moment. `connection` is "none" before the first one; `lost_ms` says for how long it is
    "lost". `in_flight` counts runs that occupy a slot; `idle_ms` says for how long it has been connected and had
    nothing to do, None while it is not connected.
    """

    state: State = "new"
    connection: Connection = "none"
    lost_ms: int = 0
    in_flight: int = 0
    idle_ms: int | None = None


GOODBYE_S = 2  # for the last message to leave; without it the engine notices the lost socket
COMPLAIN_MS = 60_000  # one line a minute while an outage lasts
CONNECTION_AGE_MS = 3_600_000  # below the hours after which load balancers end connections without a word
AGE_JITTER = 0.1
TICKS_A_BEAT = 10

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.daemon")


def monotonic_ms() -> int:
    """Return the machine's monotonic time."""
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """Return the machine's time of day."""
    return time.time_ns() // 1_000_000


class Daemon:
    """One worker. `run` works until `drain` or `abandon` was asked for, or the engine refuses this worker."""

    def __init__(
        self,
        functions: Mapping[str, Function[Any, Any]],
        profile: Profile,
        *,
        dial: Dial,
        uniform: Callable[[float, float], float],
        state: Any = None,
        park_ttl_ms: int = 600_000,
        drain_ms: int = 25_000,
        checkpoint: Checkpoint | None = None,
        connection_age_ms: int = CONNECTION_AGE_MS,
        busy_poll: BusyPoll | None = None,
        watch: Watch | None = None,
        times: Times | None = None,
        clock_ms: Clock = monotonic_ms,
    ) -> None:
        self.state: State = "new"
        self.gone: asyncio.Event = asyncio.Event()
        self._dial = dial
        self._drain_ms = drain_ms
        self._clock_ms = clock_ms
        self._reconnect = Reconnect(uniform, times or Times())
        self._uniform = uniform
        self._connection_age_ms = connection_age_ms
        self._rotation: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._watch = watch
        self._retry_after_ms: int | None = None
        self._complained_at_ms: int | None = None
        self._connection: Connection = "none"
        self._lost_at_ms = 0
        self._open_at_ms = 0
        self._conversation = Conversation(
            profile, clock_ms=clock_ms, times=times or Times(), on_welcome=self._on_welcome
        )
        self._runner = Runner(
            functions,
            send=self._conversation.send,
            callback_url=self._conversation.callback_url,
            slots=profile.slots,
            may_start=self._conversation.may_start,
            state=state,
            clock_ms=clock_ms,
            wall_ms=wall_ms,
            park_ttl_ms=park_ttl_ms,
            checkpoint_of=lambda function: function.checkpoint_in(checkpoint),
            body_of=self._body_of if watch else own_body,
            busy_poll=busy_poll,
        )
        self._conversation.runs = self._runner
        self._carrying: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._abandoning = asyncio.Event()
        self._is_leaving_now = False
        self._is_closed = False

    @property
    def health(self) -> Health:
        """How it is now."""
        is_open = self._connection == "open"
        return Health(
            state=self.state,
            connection=self._connection,
            lost_ms=self._clock_ms() - self._lost_at_ms if self._connection == "lost" else 0,
            in_flight=self._runner.in_flight,
            idle_ms=min(self._runner.idle_ms, self._clock_ms() - self._open_at_ms) if is_open else None,
        )

    def drain(self) -> None:
        """Ask for the end: no new work, the running steps finished, the rest handed back. May be repeated."""
        self._leaving.set()

    def abandon(self) -> None:
        """Ask for the end now: steps that run are given up, and their runs handed on."""
        self._abandoning.set()
        self._leaving.set()

    async def run(self) -> None:
        """Work until the end. Raises `Refused` if the engine does not want this worker; cancelling it is a crash."""
        self.state = "connecting"
        staying = asyncio.create_task(self._stay_connected())
        leaving = asyncio.create_task(self._leave())
        try:
            done, _ = await asyncio.wait({staying, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for life in done:
                life.result()
            await _end_tasks([staying])
            await self._say_goodbye()
        finally:
            await _end_tasks([staying, leaving, *self._carrying])
            await self._close()
            for timer in (self._rotation, self._ticking):
                if timer is not None:
                    timer.cancel()
            self.state = "stopped"

    async def _stay_connected(self) -> Never:
        while True:
            link = await self._open_link()
            await self._carry(self._conversation.greet(link))

    async def _open_link(self) -> Link:
        while True:
            pause_ms = self._reconnect.pause_ms(self._clock_ms(), self._retry_after_ms)
            self._retry_after_ms = None
            await asyncio.sleep(pause_ms / 1000)
            try:
                return await self._dial()
            except DialFailed as failure:
                self._trouble(failure)

    async def _carry(self, uplink: Uplink) -> None:
        """Return when the connection is over, or when the engine has asked to open the next one first."""
        carrying = asyncio.create_task(self._carry_to_the_end(uplink))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)
        moving = asyncio.create_task(uplink.going_away.wait())
        try:
            await asyncio.wait({carrying, moving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moving.cancel()
        if carrying.done():
            carrying.result()
        else:
            self._retry_after_ms = uplink.reconnect_after_ms

    async def _carry_to_the_end(self, uplink: Uplink) -> None:
        try:
            await uplink.run()
        except (LinkLost, DialFailed) as ending:
            self._lost(uplink, ending)
        except ProtocolError as ending:
            if ending.code == "version":
                raise Refused(ending.message, code="E0403") from ending
            self._lost(uplink, ending)
        else:
            self._lost(uplink, LinkLost("the connection is over"))

    def _on_welcome(self) -> None:
        self._reconnect.connected(self._clock_ms())
        self._complained_at_ms = None
        if self._connection != "open":
            self._connection, self._open_at_ms = "open", self._clock_ms()
        if self.state == "connecting":
            self.state = "connected"
            _log.info("connected")
        self._rotate_later()
        if self._watch is not None:
            self._watch.met(self._conversation.identity)
            self._tick(self._watch)

    def _tick(self, watch: Watch) -> None:
        """Show often enough that the event loop turns, as long as it does."""
        if self._ticking is not None:
            self._ticking.cancel()
        watch.tick()
        delay_s = self._conversation.times.beat_ms / TICKS_A_BEAT / 1000
        self._ticking = asyncio.get_running_loop().call_later(delay_s, self._tick, watch)

    def _rotate_later(self) -> None:
        """Open the next connection before something on the way ends this one; not all workers at the same moment."""
        if self._rotation is not None:
            self._rotation.cancel()
        age_s = self._connection_age_ms * self._uniform(1 - AGE_JITTER, 1 + AGE_JITTER) / 1000
        self._rotation = asyncio.get_running_loop().call_later(age_s, self._conversation.say_rotate)

    def _body_of(self, run: str, _key: str, call: StepCall) -> Callable[..., Any]:
        assert self._watch is not None, "otherwise nobody asks"
        return watched(self._watch, call, f"{run}\n{self._runner.function_of(run)}\n{call.id}".encode())

    def _lost(self, uplink: Uplink, ending: Exception) -> None:
        if self._is_leaving_now or not self._conversation.is_on(uplink):
            return
        if self.state == "connected":
            self.state = "connecting"
        if self._connection == "open":
            self._connection, self._lost_at_ms = "lost", self._clock_ms()
        self._trouble(ending)

    def _trouble(self, reason: Exception) -> None:
        self._retry_after_ms = getattr(reason, "retry_after_ms", None)
        now_ms = self._clock_ms()
        if self._complained_at_ms is None or now_ms - self._complained_at_ms >= COMPLAIN_MS:
            self._complained_at_ms = now_ms
            more = {"code": reason.code} if isinstance(reason, DialFailed) else {}
            _log.warning("not connected, trying again", reason=str(reason), **more)

    async def _leave(self) -> None:
        await self._leaving.wait()
        self.state = "draining"
        self._conversation.say_drain()
        finishing = asyncio.create_task(self._finish())
        abandoning = asyncio.create_task(self._abandoning.wait())
        waiting = {finishing, abandoning}
        await asyncio.wait(waiting, timeout=self._drain_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        if not finishing.done():
            _log.warning("steps are given up", runs=len(self._runner.unfinished()))
        await _end_tasks(waiting)

    async def _finish(self) -> None:
        await self._runner.drain()
        await self._conversation.settled()

    async def _say_goodbye(self) -> None:
        """Seal first: when the engine hears it, no step can start here any more."""
        unfinished = self._runner.unfinished()
        closing = asyncio.create_task(self._close())
        await (asyncio.sleep(0) if self._abandoning.is_set() else asyncio.shield(closing))
        self._is_leaving_now = True
        self._conversation.say_bye(unfinished)
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=GOODBYE_S)
        self.gone.set()
        if self._watch is not None:
            self._watch.left()
        await closing

    async def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._runner.close()


async def _end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
