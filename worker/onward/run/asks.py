"""What user code can wait for beside steps and timers: durable waits, and records that need no answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from onward_protocol.messages import Sent, Sleep, Wait, WaitClosed, WaitOpened

from onward.errors import Evicted
from onward.replay.journal import Journal, LogEntry

if TYPE_CHECKING:
    from onward.replay.log import Replay
    from onward.run.bodies import Step
    from onward.run.outbox import Outbox


class Home(Protocol):
    """The residence, seen from what it is asked for."""

    loop: asyncio.AbstractEventLoop
    journal: Journal
    replay: Replay[Step]
    outbox: Outbox
    open_waits: dict[str, Wait]

    @property
    def is_sealed(self) -> bool: ...


class Awaited:
    """Something that a coroutine of the run waits for by its future."""

    __slots__ = ("future", "home", "key")

    def __init__(self, home: Home, key: str) -> None:
        self.home: Home = home
        self.key: str = key
        self.future: asyncio.Future[LogEntry] = asyncio.Future(loop=home.loop)

    @property
    def is_wanted(self) -> bool:
        """False once it has its answer, or the code has given it up."""
        return not self.future.done()

    def deliver(self, entry: LogEntry) -> None:
        """Hand the entry to the waiting coroutine."""
        if not self.future.done():
            self.future.set_result(entry)

    def evict(self) -> None:
        """Let the coroutine leave; nobody need be left who looks at the error."""
        if not self.future.done():
            self.future.set_exception(Evicted())
            self.future.exception()


class DurableWait(Awaited):
    """A wait in the engine."""

    __slots__ = ("wait",)

    def __init__(self, home: Home, key: str, wait: Wait) -> None:
        super().__init__(home, key)
        self.wait: Wait = wait

    def begin(self) -> None:
        """Open it, unless an earlier residence has."""
        open_wait(self.home, self.key, self.wait)

    def deliver(self, entry: LogEntry) -> None:
        """Hand the entry to the waiting coroutine."""
        end_wait(self.home, self.key)
        super().deliver(entry)

    def give_up(self) -> None:
        """Close it."""
        close_wait(self.home, self.key)


class RetryWait:
    """The durable delay before the next attempt of a step."""

    __slots__ = ("_key", "_step")

    def __init__(self, step: Step, key: str) -> None:
        self._step = step
        self._key = key

    def deliver(self, entry: LogEntry) -> None:
        """Let the next attempt start."""
        step = self._step
        end_wait(step.home, self._key)
        step.is_parked = False
        if step.is_wanted:
            step.home.replay.hold_body(step)


class Note(Awaited):
    """A record that needs no answer: it enters the log as soon as the run may start something."""

    __slots__ = ("_entry",)

    def __init__(self, home: Home, key: str, entry: Sent) -> None:
        super().__init__(home, key)
        self._entry = entry

    def begin(self) -> None:
        """Record it."""
        self.home.replay.enter(self._entry)
        self.home.outbox.add(self._entry)


def open_wait(home: Home, key: str, wait: Wait) -> None:
    """Open a wait in the engine, unless it is open there from an earlier residence."""
    home.open_waits[key] = wait
    if not home.journal.has_open(key):
        home.outbox.add(WaitOpened(key, wait))


def end_wait(home: Home, key: str) -> None:
    """The engine has answered."""
    home.open_waits.pop(key, None)
    home.journal.forget(key)


def close_wait(home: Home, key: str) -> None:
    """The code no longer waits. An answer that is on its way goes to nobody."""
    if home.is_sealed:  # the code is leaving; the wait stays open for the next residence
        return
    is_open = home.open_waits.pop(key, None) is not None or home.journal.has_open(key)
    home.journal.forget(key)
    is_answered = key in home.replay.expected
    home.replay.give_up(key, is_answer_due=is_open)
    if is_open and not is_answered:
        home.outbox.add(WaitClosed(key))


def open_retry(step: Step, key: str, delay_ms: int) -> None:
    """Open the durable delay before the next attempt of a step."""
    step.home.replay.ask(key, RetryWait(step, key))
    open_wait(step.home, key, Sleep(delay_ms))
