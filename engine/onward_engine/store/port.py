"""The one door to durable state.

`Store.apply` takes a batch of operations and makes them durable in one transaction, in the order given; each gets its
own outcome. An operation that can never succeed (a poisoned value) gets a `Rejected` outcome and harms no neighbour.
Everything random or clock-dependent in an operation (ids, times) is fixed by the caller before the first try, so that a
batch may be tried again unchanged.

Outcomes say what is *durable*; callers speak only after `apply` returned. What other parts of the engine must now do
(send a Wake, offer a queue to workers, tell somebody who waits for a result) comes back as `Notices` of the same
commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, Protocol, TypeVar

from msgspec import Struct, field
from onward_protocol.messages import AppManifest, EngineEntry, Event, Held, Outcome, Schedule, WorkerEntry

from ..model import Assignment, Item, Run, Status, StepView
from ..rules.flow.facts import AHEAD_MAX, Awaited, Backlog, Holders, Line, Queued
from ..rules.forks import Past
from ..rules.lifecycle import Verdict

T_co = TypeVar("T_co", covariant=True)


# -- operations; the type parameter of Op is the outcome's type
# --------------------------------------------------------------------------


class Op(Struct, Generic[T_co], frozen=True, gc=False):
    """One semantic operation. `now_ms` is the engine's wall clock at submission."""

    now_ms: int


class Register(Op[None], frozen=True):
    """Store what an app's newest worker offers; its functions that are missing in the manifest lose their triggers."""

    app: AppManifest


class NewEvent(Struct, frozen=True, gc=False):
    """An event to accept. `id` is engine-minted unless the sender gave one (`dedup` is then True: a repeat answers as
    the first time). One with a `due_at_ms` later than now is kept, and comes in when that moment has come.
    """

    event: Event
    dedup: bool = False
    due_at_ms: int = 0


class Accepted(Struct, frozen=True, gc=False):
    """The answer for one event; `conflict` when the id was used for a different body. `due_at_ms`: it comes in then."""

    id: str
    runs: tuple[str, ...] = ()
    duplicate: bool = False
    conflict: bool = False
    due_at_ms: int = 0


class Ingest(Op[tuple[Accepted, ...]], frozen=True):
    """Accept events, all or none: start the runs they trigger, resolve the waits they match. Ids of new runs are
    derived from (event, function).
    """

    events: tuple[NewEvent, ...]


class DropEvent(Op[bool], frozen=True):
    """Forget an event that is not due yet; its id is free again. Outcome: whether there was one."""

    event: str


class HoldSchedule(Op[bool], frozen=True):
    """Pause a schedule of a function, or let it tick again from now on. Outcome: whether there is such a schedule."""

    function: str
    name: str
    is_paused: bool


class Backfilled(Struct, frozen=True):
    """The run of a tick of the past; `is_new`: it was started just now."""

    tick_ms: int
    run: str
    is_new: bool


class Backfill(Op[tuple[Backfilled, ...]], frozen=True):
    """Start the runs of these ticks of a schedule that have none yet, whatever the schedule says of overlapping."""

    function: str
    schedule: Schedule
    ticks: tuple[int, ...]


class StartRun(Op[str], frozen=True):
    """Start a function without an event; the outcome is the run id (the first one's, if `run` exists already)."""

    run: str
    function: str
    input: bytes


SUPERSEDED = "superseded"
"""The code of a claim's refusal for a connection that is not its worker's any more."""


class Claim(Op[tuple[Assignment, ...]], frozen=True):
    """Take up to `limit` runs of these functions for one connection: epoch + 1, status ASSIGNED. `Rejected` with code
    SUPERSEDED if the worker has a newer connection, or its replica was given up. Repeating the same
    `claim` id changes nothing. A journal of more than `journal_bytes_max` (None: any) does not come with its run, so
    that a long one holds up nobody: ask `Store.journal` for it.

    `versions` are those of the Apps of these functions, as the worker has them; `rivals` the others that workers here
    have, for each function, () if there are none at all. A run that began on one of those is left to them for
    `Times.version_ms`, and then to anybody.
    """

    claim: str
    instance: str
    generation: int
    functions: tuple[str, ...]
    limit: int
    journal_bytes_max: int | None = None
    versions: tuple[str, ...] = ()
    rivals: tuple[tuple[str, ...], ...] = ()


class Admit(Op[tuple[EngineEntry, ...] | None], frozen=True):
    """Give READY run its slot back at the same epoch and holder: status ASSIGNED and the entries to send, or None if it
    is no longer to be had.
    """

    run: str
    epoch: int
    instance: str
    generation: int


class Applied(Struct, frozen=True, gc=False):
    """`seq` is what is stored now (0 if the run is unknown); `status` the run's. `reason` says why a frame was turned
    into a named failure.
    """

    verdict: Verdict
    seq: int
    status: Status
    reason: str = ""


class ApplyCheckpoint(Op[Applied], frozen=True):
    """Store one checkpoint frame and everything that it causes: waits, children, events, the outcome."""

    run: str
    epoch: int
    seq: int
    instance: str
    generation: int
    raw: bytes
    entries: tuple[WorkerEntry, ...]
    outcome: Outcome | None


class GiveBack(Op[bool], frozen=True):
    """A Return frame: requeue (or forget the holder of a parked run) if (run, epoch) is still current. True if it
    changed anything. With a `generation`, nothing is changed if the run has been taken back on another connection.
    """

    run: str
    epoch: int
    reason: str
    generation: int = 0


class Orphan(Op[int], frozen=True):
    """The connection is gone; its session, if it is still the newest, has none. Its assigned runs become ORPHANED and
    claimable at `claimable_at_ms`; parked ones forget nothing. Runs that are no longer of (instance, generation) are
    untouched. With `unfinished` (a Bye) exactly those are requeued at once. Outcome: how many.
    """

    instance: str
    generation: int
    claimable_at_ms: int
    unfinished: tuple[tuple[str, int], ...] | None = None


class Resumed(Struct, frozen=True):
    """What the engine says of one held run: owned (`seq` stored, `entries` beyond the worker's `known`) or fenced."""

    run: str
    epoch: int
    owned: bool
    seq: int = 0
    entries: tuple[EngineEntry, ...] = ()
    reason: str = ""


class Resume(Op[tuple[Resumed, ...]], frozen=True):
    """A Hello or a full list after a digest mismatch: take back what is held at the current epoch, at this generation;
    runs of this instance that are not in the list are requeued at once, except those in `ignore` (sent to it, but not
    yet processed when the list was made). With `is_whole` False the list is only a part of what is held, and nothing is
    requeued because it is missing.
    """

    instance: str
    generation: int
    held: tuple[Held, ...]
    ignore: tuple[str, ...] = ()
    is_whole: bool = True


class FireTimers(Op[int], frozen=True):
    """Fire what is due at `now_ms`, at most `limit`, oldest first; also notices queue rows that became claimable.
    Outcome: how many fired.
    """

    limit: int = 1000


class NoteTime(Op[int], frozen=True):
    """Keep the time of day. Outcome: the one that was kept before; 0 if none was."""


class ShiftTimers(Op[int], frozen=True):
    """The time of day has jumped by so much: move the timers that count from a moment of the old time. Only for a store
    that one engine has. Outcome: how many.
    """

    by_ms: int


class CancelRun(Op[Literal["cancelled", "cancelling", "terminal", "unknown", "begun"]], frozen=True):
    """Cancel a run. With `is_for_waiting` one that has ever been assigned is left alone: `begun`."""

    run: str
    reason: str
    cleanup_ms: int
    is_for_waiting: bool = False


SIGNALS_MAX = 1_000
"""Signals that a run has not waited for yet: more are a sender that nobody listens to."""


class Signalled(Struct, frozen=True):
    """What became of a signal. `run` is the one that has it: that of the first time, for a repeat."""

    verdict: Literal["delivered", "kept", "not_waiting", "full", "over", "unknown", "conflict"]
    run: str = ""


class SendSignal(Op[Signalled], frozen=True):
    """Send a signal to a run: it ends the run's wait for that name, or is kept for its next one. The same `id` again
    within a day changes nothing. With `is_for_waiter` it is only for a run that waits, and `run` is where somebody has
    looked for one ("": in vain).
    """

    run: str
    name: str
    value: bytes
    id: str = ""
    is_for_waiter: bool = False


class AnswerCallback(Op[Literal["answered", "repeated", "unknown"]], frozen=True):
    """End the wait for what is posted under this token; once, as long as its run goes on."""

    token: str
    value: bytes


class PauseRun(Op[Literal["paused", "pausing", "cancelling", "terminal", "unknown"]], frozen=True):
    """Hold a run where it is; "pausing" while a worker still executes its steps. A cancelled one is not held."""

    run: str


class ResumeRun(Op[Literal["resumed", "terminal", "unknown"]], frozen=True):
    """Let a held run go on."""

    run: str


class PauseFunction(Op[bool], frozen=True):
    """Begin no new runs of a function, or begin them again; runs that have started go on. False: nobody offers it."""

    function: str
    is_paused: bool


class LimitChange(Struct, frozen=True):
    """A limit of a function's option that somebody has set, or has set back to what the code says (None)."""

    at_ms: int
    by: str
    before: int | None
    after: int | None


LIMIT_LOG = "limit_log"
"""The kind of items with the newest changes of a limit, as JSON; the function owns them, the option names them."""


class LimitSet(Struct, frozen=True):
    """What became of a `SetLimit`: the limit that the code declares, and the one that was set before. `reason` says why
    an `impossible` one is.
    """

    verdict: Literal["set", "unknown_function", "unknown_option", "impossible"]
    declared: int = 0
    before: int | None = None
    reason: str = ""


class SetLimit(Op[LimitSet], frozen=True):
    """Have an option of a function limit to so much, whatever its code says now or later; None: what that says counts
    again. `by` is who has asked for it. Runs that wait for a limit that has risen are let in by and by.
    """

    function: str
    option: str
    limit: int | None
    by: str = ""


class Repeat(Op[str | None], frozen=True):
    """Make a run that begins like another one: with its events and its input, or with another `input`, and with a part
    of its journal. The outcome is its id, also if there is one of this id already; None if there is no `source`.
    """

    run: str
    source: str
    input: bytes | None = None
    past: Past = Past()


class Entered(Struct, frozen=True):
    """A worker's newest connection: its number, and what is said of each run that it holds, in the order given."""

    secret: str
    generation: int
    resumed: tuple[Resumed, ...] = ()


class Denied(Struct, frozen=True):
    """Why a worker is not let in, in words that a person can act on."""

    code: str
    message: str


class Enter(Op[Entered | Denied], frozen=True):
    """A Hello that arrived at `replica`: the next generation of this worker process begins, and it takes back what it
    holds as by a `Resume` of the whole list. From then on connections of earlier generations get no run, wherever they
    are. `session` is the secret that it shows (empty: it knows none), `generation` the newest that it knows of,
    `secret` the one for a process that nobody knows.
    """

    instance: str
    session: str
    generation: int
    secret: str
    replica: str
    held: tuple[Held, ...] = ()


class Confirm(Op[None], frozen=True):
    """The worker has answered the Welcome of this generation: it knows its secret, and older Hellos are outdated."""

    instance: str
    generation: int


class Guard(Op[Denied | None], frozen=True):
    """The guard of a worker process speaks, and shows the secret of its session. Runs of that worker that are orphaned,
    or will be, wait for it until `claimable_at_ms`, which may be now. With `is_over` the process is dead or given up:
    everything that it executes is orphaned first. Outcome: why the guard is not believed.
    """

    instance: str
    session: str
    claimable_at_ms: int
    is_over: bool = False


class Company(Struct, frozen=True):
    """Since when this replica lives without a break: another moment than before says that others have given it up in
    between. `others` live beside it, `silent` have not beaten for too long.
    """

    since_at_ms: int
    others: int = 0
    silent: tuple[str, ...] = ()


class Present(Op[Company], frozen=True):
    """A replica beats, and hears of the others; those that have not beaten for `dead_ms` are silent."""

    replica: str
    dead_ms: int


class TakenOver(Struct, frozen=True):
    """How many runs were orphaned; whether that was all. `is_dropped`: this was what ended the replica."""

    runs: int
    is_done: bool
    is_dropped: bool = False


class TakeOver(Op[TakenOver], frozen=True):
    """If this replica has not beaten since `silent_since_ms`: close the connections of its workers in its place, at
    most `limit` of them, as an `Orphan` does, and forget it after the last one. Nobody else gets a run before
    `claimable_at_ms`, nor within `lease_ms` of the replica's last beat: for so long its worker may believe that it has
    it. A replica that is about to stop takes itself over.
    """

    replica: str
    silent_since_ms: int
    claimable_at_ms: int
    limit: int
    lease_ms: int = 0


class Remind(Op[None], frozen=True):
    """Notify again of what this connection may have missed about runs (and epochs) that it holds: entries that it has
    not marked, a slot that a ready one wants, and that a run is not its own any more.
    """

    instance: str
    generation: int
    runs: tuple[tuple[str, int], ...]


class Boot(Op[int], frozen=True):
    """After a start on a store for one engine: every ASSIGNED run waits for its holder until `claimable_at_ms`, and
    nobody is connected. Outcome: how many are held.
    """

    claimable_at_ms: int


class HoldDuty(Op[int], frozen=True):
    """Take or keep a duty that one replica at a time has, until `until_ms`. Outcome: its epoch, which rises whenever it
    changes hands; 0 if another replica has it now.
    """

    duty: str
    replica: str
    until_ms: int


class Purged(Struct, frozen=True):
    """What is gone, and where the next `Purge` goes on; None when there is nothing more to look at for now."""

    runs: int = 0
    events: int = 0
    after_run: int | None = None
    after_event: int | None = None


class Purge(Op[Purged], frozen=True):
    """Delete runs that ended before `runs_before_ms` with their journals, and events received before
    `events_before_ms` of which no run is kept. Looks at `limit` rows at most, beginning behind the given orders of
    acceptance (None: not at all), so that no transaction grows with what has piled up.
    """

    runs_before_ms: int
    events_before_ms: int
    after_run: int | None = 0
    after_event: int | None = 0
    limit: int = 500


class Rejected(Struct, frozen=True):
    """This operation can never succeed. `message` is for the one who sent it."""

    code: str
    message: str


# -- what else a commit means
# -------------------------------------------------------------------------------------------------------------


class Woken(Struct, frozen=True):
    """A run got engine entries. ASSIGNED: send them now; READY: it wants a slot at its holder first (`Admit`)."""

    run: str
    epoch: int
    status: Status
    holder: str
    generation: int
    function: str
    entries: tuple[EngineEntry, ...]


class Fenced(Struct, frozen=True):
    """A holder that must stop."""

    run: str
    epoch: int
    holder: str
    generation: int
    reason: str


class Halted(Struct, frozen=True):
    """A holder that must hand its run back at the next step boundary."""

    run: str
    epoch: int
    holder: str
    generation: int


class Superseded(Struct, frozen=True):
    """A worker has begun this generation, and its connections of earlier ones are elsewhere."""

    instance: str
    generation: int


class Unclear(Struct, frozen=True):
    """A condition that could not be evaluated on an event: as if it were false, but worth a line. `run` is the one that
    waits; empty for a trigger.
    """

    function: str
    event: str
    reason: str
    run: str = ""


class Missed(Struct, frozen=True):
    """Ticks of a function's schedule that nobody fired in time: how many are given up, and how many were fired late."""

    function: str
    given_up: int
    late: int


class Happened(Struct, frozen=True):
    """Something that is counted by function: a run was started, completed, failed, cancelled, orphaned, taken_over from
    its holder, struck because of that, or charged with the loss of its workers.
    """

    what: str
    function: str


class Notices(Struct):
    """Beside the outcomes: who must hear of this commit."""

    queued: set[str] = field(default_factory=set[str])  # functions that may have claimable runs now
    woken: list[Woken] = field(default_factory=list[Woken])
    fenced: list[Fenced] = field(default_factory=list[Fenced])
    halted: list[Halted] = field(default_factory=list[Halted])
    left: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])  # functions' runs, left to that version
    finished: list[str] = field(default_factory=list[str])
    written: set[str] = field(default_factory=set[str])  # runs that got entries of the engine's
    superseded: list[Superseded] = field(default_factory=list[Superseded])
    unclear: list[Unclear] = field(default_factory=list[Unclear])
    missed: list[Missed] = field(default_factory=list[Missed])
    happened: list[Happened] = field(default_factory=list[Happened])
    freed: list[str] = field(default_factory=list[str])  # flow keys of which a place was given back, once for each
    registered: bool = False
    next_due_at_ms: int | None = None


class Committed(Struct, frozen=True):
    """One durable batch: an outcome (or Rejected) per operation, in order."""

    outcomes: tuple[object, ...]
    notices: Notices


SCAN_MAX = 10_000
"""So many runs or events are looked at for one page at most: some 20 ms."""


class RunFilter(Struct, frozen=True):
    """Which runs, newest first. What is empty says nothing; all that is said has to be true.

    `status` has any of these; of `tags` a run has all. Moments are from (inclusive) until (exclusive). `before` is the
    `ord` to go on from (exclusive).
    """

    function: str = ""
    status: tuple[Status, ...] = ()
    ids: tuple[str, ...] | None = None
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    created_from_ms: int | None = None
    created_until_ms: int | None = None
    ended_from_ms: int | None = None
    ended_until_ms: int | None = None
    limit: int = 50
    before: int | None = None


class RunPage(Struct, frozen=True):
    """Some runs, newest first, without their input and output. `next` is the `before` to go on from; None when these
    were the last. A page may have fewer runs than were asked for, or none, and still a `next`: so many were looked at.
    """

    runs: tuple[Run, ...] = ()
    next: int | None = None


class EventFilter(Struct, frozen=True):
    """Which events, newest first. What is empty says nothing; moments are those of their arrival. `prefix` is how their
    name begins. `before` as above.
    """

    name: str = ""
    prefix: str = ""
    key: str = ""
    received_from_ms: int | None = None
    received_until_ms: int | None = None
    limit: int = 50
    before: int | None = None


class KeptEvent(Struct, frozen=True):
    """An event, when it came in, and of how many runs that are still kept it is a part."""

    event: Event
    received_at_ms: int
    runs: int


class EventPage(Struct, frozen=True):
    """Some events, newest first. `next` as of a `RunPage`."""

    events: tuple[KeptEvent, ...] = ()
    next: int | None = None


class JournalPage(Struct, frozen=True):
    """Consecutive rows of a run's journal in the order stored, frames as (epoch, seq, entries) apart from encoded
    engine entries. `next` is where to go on from; None when these were the last.
    """

    segments: tuple[tuple[int, int, bytes], ...] = ()
    entries: tuple[bytes, ...] = ()
    next: int | None = None


JOURNAL_PAGE_BYTES = 256 * 1024
"""A page of a journal: some milliseconds of reading, so that whoever asks next does not wait for a long run."""


class StepPage(Struct, frozen=True):
    """Consecutive lines of a run's history. A line whose key stood on an earlier page tells how that one went on.
    `next` is where to go on from; None when these were the last. `end` is behind all that was read: where to go on
    from when there will be more.
    """

    steps: tuple[StepView, ...] = ()
    next: int | None = None
    end: int = 0


PROGRESS = "progress"
"""The kind of item in which the newest word of a run on how far it is stands, one for each."""

STEPS_PAGE = 1_000
HOLDERS_PAGE = 10
LINES_PAGE = 50
ITEMS_PAGE = 1_000


class StoreError(Exception):
    """The store cannot work at all, in words that say what to do. Base of the following."""


class StoreFull(StoreError):
    """No disk space: nothing of the batch is stored; try again later."""


class StoreBroken(StoreError):
    """An I/O error. Nothing may be acknowledged any more: the engine stops and is started again on what the disk really
    holds.
    """


class StoreRefused(StoreError):
    """This store must not be opened: newer schema, in use by another engine, not a database."""


class Store(Protocol):
    """Implemented by every store, checked by one conformance suite. `apply` must not be called again before it
    returned.
    """

    @property
    def is_shared(self) -> bool:
        """Whether several engines may have it open at the same time."""
        ...

    async def open(self) -> None: ...
    async def apply(self, ops: Sequence[Op[object]]) -> Committed: ...
    async def run(self, run: str) -> Run | None: ...
    async def runs(self, wanted: RunFilter) -> RunPage: ...
    async def steps(self, run: str, after: int = 0, limit: int = STEPS_PAGE) -> StepPage:
        """Return the next lines of a run's history, about `limit`. `after` as for `journal`. Of an unknown run: an
        empty page.
        """
        ...

    async def journal(self, run: str, after: int = 0, limit_bytes: int = JOURNAL_PAGE_BYTES) -> JournalPage:
        """Return the next rows of a run's journal: as many as fit into `limit_bytes`, and at least one. `after` is a
        page's `next`; 0 is the beginning. A row is never changed and never moves, so pages of a journal that grows
        meanwhile neither overlap nor skip; a page without `next` ends with what was committed when it was asked for.
        Of an unknown run: an empty page.
        """
        ...

    async def waiter(self, event: str, value: bytes) -> str | None:
        """Return the oldest run with a wait that is found under this event name and value, and no path."""
        ...

    async def event(self, event: str) -> Event | None: ...
    async def events(self, wanted: EventFilter) -> EventPage: ...
    async def events_of(self, events: Sequence[str]) -> list[Event]:
        """Return those of these events that there are, in any order."""
        ...

    async def joined(self, event: str) -> tuple[str, ...]:
        """Return the runs that an event has joined, which others have started."""
        ...

    async def items(self, kind: str, owner: str, after: str = "", limit: int = ITEMS_PAGE) -> list[Item]:
        """Return what is kept of a kind for an owner, by name, behind the name `after` if there is one: at most
        `limit`.
        """
        ...

    async def queued(self, run: str, ahead_max: int = AHEAD_MAX) -> Queued | None:
        """Return where in the queue a run is; None if it is not there. So many before it are counted, which takes a
        microsecond each.
        """
        ...

    async def holders(self, flow_key: str, limit: int = HOLDERS_PAGE) -> Holders:
        """Return who has the places of a key; of the runs the first `limit`."""
        ...

    async def awaited(self, run: str) -> list[Awaited]:
        """Return what a run waits for, by key; at most `WAITS_MAX`."""
        ...

    async def backlog(self, functions: Sequence[str]) -> dict[str, list[Backlog]]:
        """Return how many runs of these functions are in the queue, by state; what is empty is left out."""
        ...

    async def lines(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """Return the lines in which runs of a function stand, by key, behind the key `after`."""
        ...

    async def shares(self, function: str, after: str = "", limit: int = LINES_PAGE) -> list[Line]:
        """Return the same for the keys by which runs of a fair function take turns."""
        ...

    async def functions(self) -> list[AppManifest]: ...
    async def close(self) -> None: ...
