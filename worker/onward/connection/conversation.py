"""What a worker says to the engine and does with the answers, over all of its connections.

It remembers who this worker is to the engine (session, generation), whether a step may start now, and what the newest
connection is. Runs themselves are the runner's business.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from onward_protocol.holdings import Holdings
from onward_protocol.lease import Lease
from onward_protocol.limits import VERSIONS, Times
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Assign,
    Bye,
    Cancel,
    Checkpoint,
    Drain,
    Fence,
    GoAway,
    Halt,
    Held,
    Hello,
    Log,
    Refuse,
    Return,
    RunRef,
    Stream,
    Wake,
    Welcome,
    WorkerFrame,
)
from onward_protocol.packing import Packing
from onward_protocol.session import FromEngine, Vitals, WorkerSession
from onward_protocol.states import Phase

from onward.connection.link import DialFailed, Link, Refused
from onward.connection.uplink import Clock, Uplink
from onward.watch import Identity

OfRuns = Checkpoint | Return | Stream | Log


class Runs(Protocol):
    """The runs in this worker's memory, as far as the conversation knows them. Nothing here blocks."""

    @property
    def free(self) -> int:
        """How many slots are free now."""
        ...

    def new_connection(self) -> None:
        """Hear that credit is counted from zero again."""
        ...

    def handle(self, frame: Assign | Wake | Cancel | Ack | Fence | Halt) -> None:
        """Use a frame."""
        ...

    def held(self) -> tuple[Held, ...]:
        """Return all runs in memory and those whose end is not acknowledged."""
        ...

    def shown(self) -> tuple[Held, ...]:
        """Return the same as the engine can know it from what was said."""
        ...

    def introduce(self) -> tuple[Held, ...]:
        """Return the same for a Hello."""
        ...

    def resend(self) -> None:
        """Send every unacknowledged frame again."""
        ...

    def nudge(self) -> None:
        """Hear that steps may start again."""
        ...

    def unfinished(self) -> tuple[RunRef, ...]:
        """Return the runs that somebody else has to go on with."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a worker is, as the engine is told."""

    instance: str
    apps: tuple[AppManifest, ...]
    slots: int
    sdk: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    packing: Packing | None = None
    url: str = ""
    """Where it finds the engine."""


class Conversation:
    """One worker's side of everything that is said. `runs` is set before the first connection."""

    runs: Runs

    def __init__(self, profile: Profile, *, clock_ms: Clock, times: Times, on_welcome: Callable[[], None]) -> None:
        self.is_leaving: bool = False
        self._profile = profile
        self._clock_ms = clock_ms
        self._times = times
        self._on_welcome = on_welcome
        self._lease = Lease()
        self._holdings = Holdings()
        self._session_id = ""
        self._generation = 0
        self._callback_url = ""
        self._uplink: Uplink | None = None
        self._welcomed_on: Uplink | None = None
        self._unanswered: set[str] = set()
        self._listed: tuple[Held, ...] = ()
        self._granted = 0
        self._is_held_back = False
        self._answered = asyncio.Event()

    def greet(self, link: Link) -> Uplink:
        """Begin the next connection. What is held is listed after everything that the one before has brought."""
        held = self.runs.introduce()
        session = WorkerSession(
            self._hello(held),
            holdings=self._holdings,
            vitals=self._vitals,
            lease=self._lease,
            now_ms=self._clock_ms(),
            times=self._times,
            packing=self._profile.packing,
        )
        if self._uplink is not None:
            self._uplink.session.retire()
        self._unanswered = {item.run for item in held}
        self._listed = held
        self._uplink = Uplink(link, session, clock_ms=self._clock_ms, use=self._use, prepare=self._prepare)
        return self._uplink

    def is_on(self, uplink: Uplink) -> bool:
        """Tell whether this is the newest connection: the only one that anything is sent on."""
        return uplink is self._uplink

    def send(self, frame: WorkerFrame) -> None:
        """Send a run's frame if there is a connection; otherwise the runner sends it again on the next one."""
        assert isinstance(frame, OfRuns), "what concerns the connection is said here"
        if self._uplink is not None and self._uplink.is_open:
            self._uplink.send(frame)

    def may_start(self) -> bool:
        """Tell whether a step may start: nobody else can have been given its run.

        After a new connection that includes the engine's answer about every run that is held.
        """
        now_ms = self._clock_ms()
        self._look(now_ms)
        may = not self._unanswered and self._lease.may_start(now_ms)
        self._is_held_back = self._is_held_back or not may
        return may

    def _look(self, now_ms: int) -> None:
        """Say whether the socket is there. It is asked only after a break: whoever turns without one reads its end."""
        uplink = self._welcomed_on
        if uplink is None:
            return
        if self._lease.is_unsure(now_ms) and uplink.is_gone:
            self._lease.lost(uplink.session.generation, now_ms)
        else:
            self._lease.seen(now_ms)

    def say_drain(self) -> None:
        """Ask for no new work, on this connection and on later ones."""
        self.is_leaving = True
        if self._uplink is not None and self._uplink.is_open:
            self._uplink.send(Drain("shutdown"))

    def say_rotate(self) -> None:
        """Ask to be sent to the next connection; this one goes on until that is open."""
        if self._uplink is not None and self._uplink.is_open and not self.is_leaving:
            self._uplink.send(Drain("rotate"))

    def say_bye(self, unfinished: tuple[RunRef, ...]) -> None:
        """Say the last word. No step may start or end after it."""
        if self._uplink is not None and self._uplink.is_open:
            self._uplink.send(Bye(unfinished, "shutdown"))

    @property
    def times(self) -> Times:
        """The times that the engine has named, or those that are assumed before."""
        return self._times if self._uplink is None else self._uplink.session.times

    def callback_url(self) -> str:
        """Where the engine is for whoever answers a callback: as it says itself, or where this worker finds it."""
        return self._callback_url or self._profile.url

    @property
    def identity(self) -> Identity:
        """Who this worker is to the engine, as of the newest Welcome."""
        return Identity(self._profile.instance, self._session_id, self._generation, self.times.beat_ms)

    async def settled(self) -> None:
        """Wait until the engine has acknowledged everything that was sent."""
        while any(item.acked_seq < item.last_seq for item in self.runs.held()):
            self._answered.clear()
            await self._answered.wait()

    def _hello(self, held: tuple[Held, ...]) -> Hello:
        return Hello(
            versions=VERSIONS,
            instance=self._profile.instance,
            session=self._session_id,
            generation=self._generation,
            sdk=self._profile.sdk,
            python=platform.python_version(),
            slots=self._profile.slots,
            labels=dict(self._profile.labels),
            apps=self._profile.apps,
            held=held,
            unpacks=(self._profile.packing.name,) if self._profile.packing else (),
        )

    def _use(self, uplink: Uplink, frame: FromEngine) -> None:
        match frame:
            case Welcome():
                self._callback_url = frame.callback_url
                self._welcomed(uplink)
            case Refuse():
                raise _refusal(frame)
            case GoAway():
                uplink.go_away(frame.reconnect_after_ms)
            case _:
                self._hand_over(uplink, frame)

    def _welcomed(self, uplink: Uplink) -> None:
        self._welcomed_on = uplink
        self._session_id, self._generation = uplink.session.session_id, uplink.session.generation
        self._granted = 0
        self.runs.new_connection()
        self.runs.resend()
        self._take_back_what_has_left()
        if self.is_leaving:
            self.say_drain()
        self._on_welcome()

    def _take_back_what_has_left(self) -> None:
        """Say which runs have left the memory since the Hello that lists them: until now there was nobody to tell."""
        held = {item.run for item in self.runs.held()}
        for item in self._listed:
            if item.state != "ended" and item.run not in held:
                self.send(Return(item.run, item.epoch, "evicted"))
        self._listed = ()

    def _hand_over(self, uplink: Uplink, frame: Assign | Wake | Cancel | Ack | Fence | Halt) -> None:
        if self.is_on(uplink) and isinstance(frame, Ack | Fence):
            self._unanswered.discard(frame.run)
        self.runs.handle(frame)
        self._answered.set()

    def _prepare(self, uplink: Uplink) -> None:
        """Ask for a beat if there is more credit to give, and let waiting steps go on."""
        self._look(self._clock_ms())
        if not self.is_on(uplink):
            return
        if self._is_held_back and self.may_start():
            self._is_held_back = False
            self.runs.nudge()
        session = uplink.session
        if session.phase is Phase.OPEN and session.accepted + self.runs.free > self._granted:
            session.beat_soon()

    def _refresh(self) -> None:
        held = self.runs.shown()
        for item in held:
            if self._holdings.get(item.run) != item:
                self._holdings.put(item)
        for run in {item.run for item in self._holdings} - {item.run for item in held}:
            self._holdings.drop(run)

    def _vitals(self) -> Vitals:
        assert self._uplink is not None, "only sessions ask, and they belong to uplinks"
        self._refresh()
        free = self.runs.free
        self._granted = self._uplink.session.accepted + free
        return Vitals(free_slots=free, lag_ms=self._uplink.lag_ms)


def _refusal(frame: Refuse) -> Exception:
    if frame.retry_after_ms is not None:
        return DialFailed(f"the engine is not ready: {frame.message}", frame.retry_after_ms)
    return Refused(frame.message, code="E0403" if frame.code == "version" else "E0405")
