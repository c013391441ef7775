"""Queued runs meet free slots.

A connection's credit is the only thing that is ever spent here: a claim reserves some, its outcome gives back what it
did not take. Nothing polls: commits say which functions may have queued runs, beats say who has credit, and each of
them looks at the other's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog
from onward_protocol.limits import MIB
from onward_protocol.messages import EngineEntry, Halt, Wake

from .assignments import Assignments
from .clock import Clock, Ids
from .commit import Committer, ignore
from .connection import Connection
from .connections import Connections
from .model import Assignment, Run, Status
from .rules import losses
from .settings import Settings
from .store.port import SUPERSEDED, Admit, Claim, Fenced, GiveBack, Halted, Notices, Rejected, Woken

# A burst is spread over the workers in claims of this size; while it lasts, each claim is twice as large.
CLAIM_FIRST = 8
CLAIM_BYTES = 16 * MIB
"""Events of runs that are claimed together: as many as a batch may have, or hundreds of ordinary runs."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.dispatch")


class Dispatch:
    """Who gets what, decided in the loop's thread; made durable by claims; spoken only after their commit."""

    def __init__(
        self,
        committer: Committer,
        connections: Connections,
        assignments: Assignments,
        clock: Clock,
        ids: Ids,
        settings: Settings,
    ) -> None:
        self._committer = committer
        self._connections = connections
        self._clock = clock
        self._ids = ids
        self._assignments = assignments
        self._claim_max = settings.bounds.claim_max
        self._journal_bytes_max = settings.bounds.claim_journal_bytes_max
        self._alone_ms = settings.times.alone_ms
        self._version_ms = settings.times.version_ms
        self.may_assign: Callable[[], bool] = lambda: True
        """Whether this engine may hand out runs: nobody else can have been given what it hands out."""
        self.on_surplus: Callable[[set[str]], None] = lambda _functions: None
        """Is told of functions that nobody here has a slot for."""
        self._waiting: set[str] = set()  # functions that may have a run that can be claimed
        self._left: set[tuple[str, str]] = set()  # functions that may have runs that only this version gets now
        self._is_left_timed = False
        self._claim_size = CLAIM_FIRST
        self._is_scheduled = False
        committer.listen(self._committed)

    def expect(self, functions: Iterable[str]) -> None:
        """These functions may have runs in a moment. Call it before the operation is submitted that queues them: the
        claim then goes into the same transaction, behind it.
        """
        self._waiting.update(functions)
        self.look()

    def freed(self, connection: Connection) -> None:
        """This worker may have free slots again."""
        self._connections.freed(connection)
        self.look()

    def look(self) -> None:
        """Credit or work has changed: look at both once, after everything else that is ready in this tick."""
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_scheduled = False
        if not self.may_assign():
            return
        for connection in self._connections.wanting():
            self._admit_ready(connection)
        for function, version in sorted(self._left):
            self._claim_left(function, version)
        while self._waiting:
            freest = self._connections.freest(self._waiting)
            if freest is None:
                self.on_surplus(self._waiting)
                return
            self._claim(freest, self._waiting & freest.functions)

    # -- runs that are left to workers of the version on which they began ----------------------------------------------

    def _leave(self, function: str, version: str) -> None:
        """Give such runs to the next slot there; after some time anybody may have them."""
        self._left.add((function, version))
        if not self._is_left_timed:
            self._is_left_timed = True
            asyncio.get_running_loop().call_later(self._version_ms / 1000, self._offer_left)
        self.look()

    def _claim_left(self, function: str, version: str) -> None:
        connection = self._connections.freest_with(function, version)
        if connection is not None:
            self._left.discard((function, version))
            self._claim(connection, {function})

    def _offer_left(self) -> None:
        left, self._left = self._left, set()
        self._is_left_timed = False
        self.expect(function for function, _ in left)

    # -- new assignments -----------------------------------------------------------------------------------------------

    def _claim(self, connection: Connection, functions: set[str]) -> None:
        """One claim at a time for each function: a second one would mostly find what the first has taken."""
        self._waiting -= functions
        limit = min(connection.free, self._claim_size, self._claim_max)
        connection.reserved += limit
        names = tuple(sorted(functions))
        versions = tuple(connection.versions[name] for name in names)
        rivals = tuple(self._connections.rivals(*pair) for pair in zip(names, versions, strict=True))
        op = Claim(
            now_ms=self._clock.wall_ms(),
            claim=self._ids.claim(),
            instance=connection.instance,
            generation=connection.generation,
            functions=names,
            limit=limit,
            journal_bytes_max=self._journal_bytes_max,
            versions=versions,
            rivals=rivals if any(rivals) else (),
        )
        self._committer.submit(op, partial(self._claimed, connection, functions, limit))

    def _claimed(
        self,
        connection: Connection,
        functions: set[str],
        limit: int,
        outcome: tuple[Assignment, ...] | Rejected,
    ) -> None:
        connection.reserved -= limit
        self._connections.freed(connection)
        if isinstance(outcome, Rejected):
            self._waiting |= functions
            self._refused(connection, outcome)
            return
        for assignment in outcome:
            self._assign(connection, assignment)
        self._note_size(functions, outcome, is_full=len(outcome) == limit)

    def _refused(self, connection: Connection, rejected: Rejected) -> None:
        if rejected.code == SUPERSEDED:
            self._connections.supersede(connection.instance, connection.generation + 1)
            self.look()
        else:  # look again with the next beat, not at once: it may be refused again
            _log.error("claim rejected", code=rejected.code, reason=rejected.message)

    def _note_size(self, functions: set[str], claimed: Sequence[Assignment], *, is_full: bool) -> None:
        """Claim more at a time as long as there is more, and fewer of those that carry much: all are in memory."""
        self._claim_size = min(self._claim_size * 2, self._claim_max) if is_full else CLAIM_FIRST
        carried = sum(len(event.data) for one in claimed for event in one.events)
        if carried:
            self._claim_size = max(1, min(self._claim_size, CLAIM_BYTES * len(claimed) // carried))
        if is_full:
            self._waiting |= functions
        if self._waiting:
            self.look()

    def _assign(self, connection: Connection, assignment: Assignment) -> None:
        is_sent = not connection.is_left_alone and self.may_assign() and self._assignments.send(connection, assignment)
        if not is_sent:
            self._give_back(connection, assignment.run.id, assignment.run.epoch)
        elif losses.is_suspect(assignment.run):
            self._leave_alone(connection, assignment.run)

    def _leave_alone(self, connection: Connection, run: Run) -> None:
        """Assign nothing beside a run that may kill its worker, until it has survived there for a moment."""
        _log.warning("run may kill its worker", worker=connection.instance, run=run.id, strikes=run.strikes)
        connection.is_left_alone = True
        asyncio.get_running_loop().call_later(self._alone_ms / 1000, self._end_alone, connection)

    def _end_alone(self, connection: Connection) -> None:
        connection.is_left_alone = False
        self.freed(connection)

    def _give_back(self, connection: Connection, run: str, epoch: int) -> None:
        """Queue again what was never sent: nobody can have begun it, so it is no loss and needs no grace."""
        op = GiveBack(
            now_ms=self._clock.wall_ms(), run=run, epoch=epoch, reason="unsent", generation=connection.generation
        )
        self._committer.submit(op, ignore)

    # -- runs that go on where they are parked -------------------------------------------------------------------------

    def _admit_ready(self, connection: Connection) -> None:
        while connection.ready and connection.free > 0:
            run, epoch = connection.ready.popitem(last=False)
            connection.reserved += 1
            op = Admit(
                now_ms=self._clock.wall_ms(),
                run=run,
                epoch=epoch,
                instance=connection.instance,
                generation=connection.generation,
            )
            self._committer.submit(op, partial(self._admitted, connection, run, epoch))

    def _admitted(
        self, connection: Connection, run: str, epoch: int, outcome: tuple[EngineEntry, ...] | Rejected | None
    ) -> None:
        connection.reserved -= 1
        self._connections.freed(connection)
        if not isinstance(outcome, tuple):
            self.look()
        elif connection.is_assignable and self.may_assign():
            connection.send(Wake(run, epoch, outcome, slot=True))
        elif connection.is_newest:  # it drains now
            self._give_back(connection, run, epoch)
        # If its socket has closed meanwhile, the orphaning comes behind this in the queue and covers the run.

    def ready(self, connection: Connection, run: str, epoch: int) -> None:
        """A run that is parked there wants a slot."""
        connection.ready[run] = epoch
        self._connections.wants(connection)
        self.look()

    # -- what commits say ----------------------------------------------------------------------------------------------

    def _committed(self, notices: Notices) -> None:
        for woken in notices.woken:
            self._wake(woken)
        for fenced in notices.fenced:
            self._fence(fenced)
        for halted in notices.halted:
            self._halt(halted)
        for function, version in notices.left:
            self._leave(function, version)
        if notices.queued:
            self.expect(notices.queued)

    def _wake(self, woken: Woken) -> None:
        connection = self._connections.of(woken.holder, woken.generation)
        if connection is None:
            return
        if woken.status is Status.READY:
            self.ready(connection, woken.run, woken.epoch)
        else:
            connection.send(Wake(woken.run, woken.epoch, woken.entries))

    def _halt(self, halted: Halted) -> None:
        connection = self._connections.of(halted.holder, halted.generation)
        if connection is not None:
            connection.send(Halt(halted.run, halted.epoch))

    def _fence(self, fenced: Fenced) -> None:
        connection = self._connections.of(fenced.holder, fenced.generation)
        if connection is not None:
            connection.fence(fenced.run, fenced.epoch, fenced.reason)
