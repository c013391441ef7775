"""Group commit: what waits goes to the store in one transaction; only then does anybody hear of it.

    submit -> batches -> one `store.apply` at a time -> outcomes, in the order of submission -> notices

Outcomes and notices of one transaction are handed out without a break, so that all frames that they cause for one
worker leave in one message. What must not be lost waits here through a full disk; what a client can send again is
refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic_ns, perf_counter
from typing import TypeVar

import structlog
from onward_protocol.busy_poll import BusyPoll

from .batches import Batches, Item
from .service import Service
from .settings import Settings
from .store.port import (
    AnswerCallback,
    ApplyCheckpoint,
    Backfill,
    Boot,
    CancelRun,
    Committed,
    Confirm,
    DropEvent,
    Enter,
    HoldDuty,
    HoldSchedule,
    Ingest,
    Notices,
    Op,
    PauseFunction,
    PauseRun,
    Present,
    Purge,
    Register,
    Rejected,
    Remind,
    Repeat,
    Resume,
    ResumeRun,
    SendSignal,
    SetLimit,
    StartRun,
    Store,
    StoreFull,
    TakeOver,
)

T = TypeVar("T")

NEXT_STEP_US_MAX = 400
"""After the acknowledgement of a step that does next to nothing. For others waking up is a small part."""

STORE_FULL = "store_full"
BUSY = "busy"
STOPPING = "stopping"

# Whoever sent one of these waits for an answer and can try again. All others carry work that exists nowhere else.
_REPEATABLE = (
    *(Ingest, DropEvent, HoldSchedule, Backfill, StartRun, CancelRun, PauseRun, ResumeRun, PauseFunction, Repeat),
    *(SendSignal, AnswerCallback, SetLimit),
    *(Enter, Confirm, Register, Resume, Remind),
    *(Boot, Present, TakeOver, HoldDuty, Purge),
)

_NO_SPACE = Rejected(STORE_FULL, "the engine's disk is full; nothing was stored: free some space and send it again")
_STOPPED = Rejected(STOPPING, "the engine has stopped; send it again with the same id to the next one")

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.commit")


class Refused(Exception):
    """An operation that was not stored. `code` is stable, the message is for the one who asked."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected.message)
        self.code = rejected.code
        self.message = rejected.message


Observer = Callable[[Sequence[Op[object]], Committed, float], None]


class Committer(Service):
    """The only caller of `Store.apply`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._may_busy_poll = settings.busy_poll
        self.busy_poll: BusyPoll | None = None
        """Made when it starts to run, if the settings say so."""
        self._bounds = settings.bounds
        self._retry_ms = settings.retry_ms
        self._waiting = Batches(settings.bounds)
        self._in_flight = 0
        self._refusal: Rejected | None = None  # why nothing that can be sent again is taken now
        self._work: asyncio.Future[None] | None = None
        self._room: list[Callable[[], None]] = []
        self._idle: list[asyncio.Future[None]] = []
        self._listeners: list[Callable[[Notices], None]] = []
        self._observers: list[Observer] = []

    def listen(self, listener: Callable[[Notices], None]) -> None:
        """Tell `listener` of every commit, after its outcomes, in the order in which listeners were added."""
        self._listeners.append(listener)

    def observe(self, observer: Observer) -> None:
        """Show `observer` the operations and outcomes of every commit, once everybody has heard of it, and how many
        seconds the store took for it.
        """
        self._observers.append(observer)

    @property
    def queued(self) -> int:
        """Return how many operations wait."""
        return len(self._waiting)

    @property
    def queued_bytes(self) -> int:
        """Return how much payload waits with them."""
        return self._waiting.bytes

    @property
    def is_full(self) -> bool:
        """Return whether more waits than is good: external work has to be refused, sockets are not to be read."""
        return self.queued >= self._bounds.commit_ops_max or self.queued_bytes >= self._bounds.commit_bytes_max

    def submit(
        self, op: Op[T], done: Callable[[T | Rejected], None], size: int = 0, *, is_urgent: bool = False
    ) -> None:
        """Queue one operation; `done` gets its outcome once it is durable. `size` is its payload in bytes. Never
        blocks, never raises: who reads from sockets looks at `is_full` afterwards and reads on `when_room`.

        What is urgent goes before everything that waits, and must not depend on it.
        """
        if self._refusal is not None and isinstance(op, _REPEATABLE):
            done(self._refusal)
            return
        if self.busy_poll is not None:
            self.busy_poll.met()
        self._waiting.add(Item(op, done, size), is_urgent=is_urgent)
        if self._work is not None and not self._work.done():
            self._work.set_result(None)

    async def commit(self, op: Op[T], size: int = 0, *, is_urgent: bool = False) -> T:
        """Queue one operation and wait until it is durable. Raises `Refused`. A cancelled caller does not undo it."""
        if not is_urgent and self.is_full and isinstance(op, _REPEATABLE):
            raise Refused(Rejected(BUSY, "the engine has more work waiting than it can store; try again in a moment"))
        future: asyncio.Future[T | Rejected] = asyncio.get_running_loop().create_future()
        self.submit(
            op, lambda outcome: None if future.done() else future.set_result(outcome), size, is_urgent=is_urgent
        )
        outcome = await future
        if isinstance(outcome, Rejected):
            raise Refused(outcome)
        return outcome

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back once, when the queue is no longer full."""
        self._room.append(callback)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is queued or being written."""
        return not self._waiting and not self._in_flight

    async def drained(self) -> None:
        """Return when nothing is queued or being written."""
        while not self.is_idle:
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle

    async def _run(self) -> None:
        batch: list[Item] = []
        if self._may_busy_poll:
            call_soon = asyncio.get_running_loop().call_soon
            self.busy_poll = BusyPoll(NEXT_STEP_US_MAX, clock_us=_monotonic_us, call_soon=call_soon)
        try:
            while True:
                await self._wait_for_work()
                batch = self._waiting.take()
                self._in_flight = len(batch)
                await self._store_batch(batch)
                self._in_flight = 0
                self._tell_waiters()
                if self.busy_poll is not None and not self._waiting:
                    _expect_next(self.busy_poll, batch)
        finally:
            # Whether the last batch is durable is not known, so nobody is told that it is.
            self._refuse(_STOPPED, [*(batch if self._in_flight else ()), *self._waiting])

    async def _store_batch(self, batch: list[Item]) -> None:
        ops = [item.op for item in batch]
        begun_s = perf_counter()
        try:
            committed = await self._store.apply(ops)
        except StoreFull as error:
            await self._wait_for_space(batch, error)
        else:
            seconds = perf_counter() - begun_s
            self._hand_out(batch, committed)  # before it is counted: somebody waits for it
            for observe in self._observers:
                observe(ops, committed, seconds)

    async def _wait_for_work(self) -> None:
        if not self._waiting:
            self._work = asyncio.get_running_loop().create_future()
            await self._work
            self._work = None

    def _hand_out(self, batch: list[Item], committed: Committed) -> None:
        for item, outcome in zip(batch, committed.outcomes, strict=True):
            item.done(outcome)
        for listener in self._listeners:
            listener(committed.notices)

    async def _wait_for_space(self, batch: list[Item], error: StoreFull) -> None:
        _log.error("store full", reason=str(error), retry_ms=self._retry_ms)
        items = [*batch, *self._waiting]
        batch.clear()
        self._refuse(_NO_SPACE, items)
        await asyncio.sleep(self._retry_ms / 1000)
        self._refusal = None

    def _refuse(self, refusal: Rejected, items: list[Item]) -> None:
        self._refusal = refusal
        # The queue is whole again before anybody hears of it: an answer may cause the next operation.
        self._waiting.replace(item for item in items if not isinstance(item.op, _REPEATABLE))
        for item in items:
            if isinstance(item.op, _REPEATABLE):
                item.done(refusal)

    def _tell_waiters(self) -> None:
        if self._room and not self.is_full:
            waiting, self._room = self._room, []
            for callback in waiting:
                callback()
        if self._idle and not self._waiting:
            waiting_idle, self._idle = self._idle, []
            for idle in waiting_idle:
                if not idle.done():
                    idle.set_result(None)


def _monotonic_us() -> int:
    return monotonic_ns() // 1_000


def _expect_next(busy_poll: BusyPoll, batch: Sequence[Item]) -> None:
    """A run that is alone, and whose step is stored, comes with its next one."""
    op = batch[0].op if len(batch) == 1 else None
    if isinstance(op, ApplyCheckpoint) and op.outcome is None:
        busy_poll.expect(op.run)


def ignore(outcome: object) -> None:
    """For operations whose outcome changes nothing for the one who submitted them; a refusal is still worth a line."""
    if isinstance(outcome, Rejected):
        _log.error("operation rejected", code=outcome.code, reason=outcome.message)
