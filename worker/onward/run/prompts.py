"""What the engine answers with the very commit that takes it: a run does not park for that."""

from __future__ import annotations

import asyncio
from typing import Protocol

from onward_protocol.messages import OPEN_MARK, CallbackWait, Started, WaitOpened

from onward.errors import Evicted
from onward.replay.journal import LogEntry
from onward.run import asks
from onward.run.asks import Awaited


class Home(asks.Home, Protocol):
    """The residence, seen from here. `prompts` are the keys that the engine is about to answer."""

    prompts: set[str]


class Prompt(Awaited):
    """Something that is asked once and answered at once."""

    __slots__ = ("_house",)

    def __init__(self, home: Home, key: str) -> None:
        super().__init__(home, key)
        self._house = home

    def begin(self) -> None:
        """Ask. An earlier residence cannot have: then its answer would be in the log."""
        self._house.prompts.add(self.key)
        self._ask()

    def deliver(self, entry: LogEntry) -> None:
        """Hand the entry to the waiting coroutine."""
        self._house.prompts.discard(self.key)
        super().deliver(entry)

    def give_up(self) -> None:
        """The code does not want to know any more; what was asked for is done all the same."""
        if self.home.is_sealed:
            return
        is_due = self.key in self._house.prompts
        self._house.prompts.discard(self.key)
        self.home.replay.give_up(self.key, is_answer_due=is_due)

    def _ask(self) -> None:
        raise NotImplementedError


class Start(Prompt):
    """A child run that goes its own way."""

    __slots__ = ("_started",)

    def __init__(self, home: Home, started: Started) -> None:
        super().__init__(home, started.key)
        self._started = started

    def _ask(self) -> None:
        self.home.outbox.add(self._started)


class Answer(Awaited):
    """What is posted to a callback. It may come before anybody waits for it, and be waited for more than once."""

    __slots__ = ("_entry", "_waiters")

    def __init__(self, home: asks.Home, key: str) -> None:
        super().__init__(home, key)
        self._entry: LogEntry | None = None
        self._waiters: list[asyncio.Future[LogEntry]] = []

    async def wait(self) -> LogEntry:
        """Return the answer. One who stops waiting leaves the callback open."""
        if self.home.is_sealed:
            raise Evicted
        if self._entry is not None:
            return self._entry
        waiter: asyncio.Future[LogEntry] = asyncio.Future(loop=self.home.loop)
        self._waiters.append(waiter)
        return await waiter

    def deliver(self, entry: LogEntry) -> None:
        """Keep the entry, and hand it to everybody who waits."""
        asks.end_wait(self.home, self.key)
        self._entry = entry
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(entry)
        self._waiters.clear()

    def evict(self) -> None:
        """Let everybody leave."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Evicted())
                waiter.exception()
        self._waiters.clear()

    def give_up(self) -> None:
        """Close the callback."""
        asks.close_wait(self.home, self.key)


class Opening(Prompt):
    """A callback that is about to stand in the engine. The answer is listened for from now on."""

    __slots__ = ("_answer", "_wait")

    def __init__(self, home: Home, answer: Answer, wait: CallbackWait) -> None:
        super().__init__(home, answer.key + OPEN_MARK)
        self._answer = answer
        self._wait = wait

    def deliver(self, entry: LogEntry) -> None:
        """It stands: the run may park for it."""
        if self.is_wanted:
            self.home.open_waits[self._answer.key] = self._wait
        super().deliver(entry)

    def give_up(self) -> None:
        """Close it, if it was opened."""
        if not self.home.is_sealed and self.key in self._house.prompts:
            self.home.open_waits[self._answer.key] = self._wait
        super().give_up()
        self._answer.give_up()

    def _ask(self) -> None:
        self.home.outbox.add(WaitOpened(self._answer.key, self._wait))
