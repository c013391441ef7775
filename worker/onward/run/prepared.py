"""What user code asks of the engine when middleware has a hand in it: first that is done, outside of the run's code.

It happens when the run may start something and never for what is remembered, as with the body of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol

from msgspec.structs import replace
from onward_protocol.ids import derived_id
from onward_protocol.messages import Draft, Invoke, Sent, Started

from onward.middleware.chain import Chain
from onward.replay.journal import LogEntry
from onward.run import asks, prompts
from onward.run.asks import DurableWait, Note, open_wait
from onward.run.errands import Errands, enter_middleware
from onward.run.prompts import Start
from onward.run.wrapping import open_answer


class Home(asks.Home, Protocol):
    """The residence, seen from here."""

    errands: Errands
    unread: dict[str, Callable[[LogEntry], Coroutine[Any, Any, None]]]


class Invocation(DurableWait):
    """A child run; `chain` is that of its function. `parents` are this run and those that it is a fork of: what is
    remembered may come from a child of theirs.
    """

    __slots__ = ("_answer", "_chain", "_children", "_house", "_invoke")

    def __init__(self, home: Home, key: str, invoke: Invoke, *, chain: Chain, parents: tuple[str, ...]) -> None:
        super().__init__(home, key, invoke)
        self._house = home
        self._chain = chain
        self._children = tuple(derived_id("run", parent, key) for parent in parents)
        self._invoke = invoke
        self._answer: LogEntry | None = None
        home.unread[key] = self._read

    def begin(self) -> None:
        """Start it, unless an earlier residence has."""
        if self.home.journal.has_open(self.key):
            super().begin()
        else:
            self._house.errands.start(self._sealed, self._open)

    def give_up(self) -> None:
        """Close it."""
        self._house.unread.pop(self.key, None)
        super().give_up()

    def deliver(self, entry: LogEntry) -> None:
        """Hand the child's own answer to the waiting coroutine."""
        super().deliver(self._answer or entry)

    async def _sealed(self) -> Invoke:
        return replace(self._invoke, input=await self._chain.encode(self._invoke.input, self._chain.about("input")))

    def _open(self, invoke: Invoke) -> None:
        if self.is_wanted:
            open_wait(self.home, self.key, invoke)

    async def _read(self, entry: LogEntry) -> None:
        self._answer = await open_answer(self._chain, self._children, entry)


class SealedStart(Start):
    """A child run that goes its own way; `chain` is that of its function."""

    __slots__ = ("_chain", "_errands")

    def __init__(self, home: prompts.Home, started: Started, *, chain: Chain, errands: Errands) -> None:
        super().__init__(home, started)
        self._chain = chain
        self._errands = errands

    def begin(self) -> None:
        """Encode the input, and ask."""
        self._errands.start(self._sealed, self._start)

    async def _sealed(self) -> Started:
        started = self._started
        return replace(started, input=await self._chain.encode(started.input, self._chain.about("input")))

    def _start(self, started: Started) -> None:
        if self.is_wanted:
            self._started = started
            super().begin()


class Sending(Note):
    """Events that go through middleware; `chosen` returns what is sent after all."""

    __slots__ = ("_chosen", "_context", "_house")

    def __init__(self, home: Home, key: str, chosen: Callable[[], Coroutine[Any, Any, tuple[Draft, ...]]]) -> None:
        super().__init__(home, key, Sent(key, ()))
        self._house = home
        self._chosen = chosen
        self._context = copy_context()
        self._context.run(enter_middleware)

    def begin(self) -> None:
        """Let the middleware see the events, and record them."""
        self._house.errands.start(self._chosen, self._record, self._context)

    def _record(self, drafts: tuple[Draft, ...]) -> None:
        if self.is_wanted:
            self._entry = Sent(self.key, drafts)
            super().begin()
