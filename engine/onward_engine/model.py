"""What the engine keeps: runs, events, waits, timers, the queue, functions, and who is connected. Plain values; the
rules decide over them, the stores hold them.

A run is always in exactly one of these situations, so that nobody is ever stuck: it has a queue row (somebody will
claim it), or it is assigned (a worker executes it under a lease), or it is parked (each open wait has an event, a child
or a timer that ends it), or it is over.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from onward_protocol.messages import Event, Failure


class Status(StrEnum):
    QUEUED = "queued"  # waits for a worker: never started, handed back, or its holder is gone for good
    ASSIGNED = "assigned"  # a worker executes it
    ORPHANED = "orphaned"  # its holder's socket closed: it may take the run back until another claim commits
    PARKED = "parked"  # only waits are left
    READY = "ready"  # a wait was resolved; goes back to its holder with a slot, or to anybody once the affinity is over
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # one of its function's options let it not begin

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED})


class Flow(Struct, frozen=True, array_like=True, gc=False):
    """One limit that a run is under, together with all other runs of the same `key`.

    `option` says where its function declares it, `limit` how much that was when the run was made. `is_whole`: its place
    is kept from the first assignment to the end, and not given back while the run is parked. `is_shared`: runs of
    several functions are under it.
    """

    key: str
    option: str
    limit: int
    is_whole: bool = False
    is_shared: bool = False

    @property
    def is_throttle(self) -> bool:
        """Whether it limits how often runs begin, and not how many there are."""
        return self.option == "throttle"


class Run(Struct, frozen=True, kw_only=True, gc=False):
    """One run. Only a claim raises `epoch`. `seq` is the last stored frame of that epoch; `pos` the last engine entry,
    `seen` the highest that the worker has marked. `holder` and `generation` name the connection that executes it or has
    it parked in memory. `strikes` counts the workers that were lost under it, one after the other, without progress.
    `origin` is the run that it repeats or forks; `origins` are those whose entries its journal begins with, the first
    one first. `version` is that of the App on which it began.
    """

    id: str
    function: str
    ord: int
    status: Status = Status.QUEUED
    epoch: int = 0
    seq: int = 0
    pos: int = 0
    seen: int = 0
    holder: str = ""
    generation: int = 0
    attempt: int = 1
    strikes: int = 0
    steps: int = 0
    state_bytes: int = 0
    events: tuple[str, ...] = ()
    input: bytes = b""
    flow: tuple[Flow, ...] = ()
    parent: str = ""
    parent_key: str = ""
    cause: Failure | None = None
    cancel_reason: str | None = None
    output: bytes = b""
    failure: Failure | None = None
    created_at_ms: int = 0
    started_at_ms: int = 0
    ended_at_ms: int = 0
    tags: dict[str, str] = {}
    origin: str = ""
    origins: tuple[str, ...] = ()
    version: str = ""
    is_paused: bool = False

    @property
    def is_held(self) -> bool:
        """Whether it must not go on now. A run that is being cancelled cleans up all the same."""
        return self.is_paused and self.cancel_reason is None


class Assignment(Struct, frozen=True, gc=False):
    """A claimed run with everything that its worker needs, except its journal if `is_whole` is False."""

    run: Run
    events: tuple[Event, ...]
    segments: tuple[tuple[int, int, bytes], ...]  # (epoch, seq, entries)
    entries: tuple[bytes, ...]  # encoded engine entries by pos
    is_whole: bool = True


class Session(Struct, frozen=True):
    """One worker process. `generation` numbers its connections, over all replicas; `confirmed` is the newest of them
    whose Welcome it has answered. `replica` has the newest connection; nobody has it if that is empty. Until
    `guarded_until_ms` its guard says that the process lives, although it says nothing itself.
    """

    instance: str
    secret: str
    generation: int = 0
    confirmed: int = 0
    replica: str = ""
    seen_at_ms: int = 0
    guarded_until_ms: int = 0


class Replica(Struct, frozen=True):
    """One engine of a store that several share. It lives since `since_at_ms`, unless others have given it up."""

    id: str
    beat_at_ms: int
    since_at_ms: int
    is_given_up: bool = False


class StepView(Struct, frozen=True):
    """One line of a run's history for people: a step, wait or timer and what became of it.

    `about` is what a wait is for: an event, a signal or a function. `began_at_ms` is 0 if that is not known.
    """

    key: str
    kind: str
    status: str
    attempts: int = 1
    at_ms: int = 0
    took_ms: int = 0
    output: bytes | None = None
    failure: Failure | None = None
    began_at_ms: int = 0
    about: str = ""


class Item(Struct, frozen=True, gc=False):
    """Something small that is kept under a name.

    `kind` says what it is, `owner` whose it is: a run, a function, or '' for nobody's. `due_at_ms` None: it waits for
    nothing.
    """

    kind: str
    owner: str
    name: str
    due_at_ms: int | None = None
    body: bytes = b""
