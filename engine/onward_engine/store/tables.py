"""Rows, as the operations see them: the primitives that every store implements.

All of it is synchronous and happens inside one transaction. A `Run` read here has no payloads (`events`, `input`,
`cause`, `output`, `failure` are empty): most operations need only its few numbers. `full` adds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

from msgspec import Struct
from onward_protocol.messages import AppManifest, Event, Wait

from ..model import Item, Replica, Run, Session
from ..rules.flow.ranks import NEW
from ..rules.triggers import Catalog
from .port import Accepted, StoreError

PAUSE = "pause"
"""The kind of items that name paused functions; nobody owns them."""

LIMIT = "limit"
"""The kind of items that hold limits which were set while the engine runs; nobody owns them. See `limit_item`."""

_UNIT = "\x1f"


class QueueState(IntEnum):
    """Where in the queue a run is.

    OPEN: may be claimed. LATER: may be claimed from `due_at_ms` on. LINE: waits for a place of its flow key. HELD: is
    paused. GATHERED: waits for more events; an item knows when it begins.
    """

    OPEN = 0
    LATER = 1
    LINE = 2
    HELD = 3
    GATHERED = 4


class QueueRow(Struct, frozen=True, gc=False):
    """A run that somebody is to claim.

    Lower ranks go first, then the order of acceptance: -1 is urgent, 0 has been started before, 1 is new, and 2 and
    more are new ones that have an order of their own. `due_at_ms` of an OPEN one is since when it may be claimed.
    `fair_key` is whose turn it takes, "" if its function takes no turns.
    """

    ord: int
    function: str
    rank: int
    state: QueueState
    due_at_ms: int = 0
    flow_key: str = ""
    fair_key: str = ""


class OpenWait(Struct, frozen=True, gc=False):
    """A wait that nothing has ended yet.

    `due_at_ms` None: nothing but what it waits for can end it. `child` is the run of an invoke.
    """

    ord: int
    key: str
    wait: Wait
    due_at_ms: int | None = None
    child: str = ""


class Journal(Struct, frozen=True):
    """A run's stored frames as (epoch, seq, entries), in the order stored, and its encoded engine entries by pos."""

    segments: tuple[tuple[int, int, bytes], ...] = ()
    entries: tuple[bytes, ...] = ()


class Remembered(Struct, frozen=True, gc=False):
    """The first answer to an event id that its sender chose, and the hash of what was sent with it."""

    body: bytes
    answer: Accepted
    expires_at_ms: int


class EndedRow(Struct, frozen=True):
    """A run that is over, as much of it as it takes to tell whether it is kept any longer."""

    ord: int
    id: str
    created_at_ms: int
    ended_at_ms: int


class EventRow(Struct, frozen=True):
    """The same of an event. `runs`: how many runs that are still kept are made of it."""

    ord: int
    id: str
    received_at_ms: int
    runs: int


class Duty(Struct, frozen=True):
    """What one replica at a time does for all of them, and who has it for how long."""

    name: str
    replica: str
    epoch: int
    until_ms: int


def limit_item(function: str, option: str, limit: int) -> Item:
    """Return what is kept of a limit that was set."""
    return Item(LIMIT, "", f"{function}{_UNIT}{option}", None, str(limit).encode())


def limits_of(items: Iterable[Item]) -> dict[tuple[str, str], int]:
    """Return the limits that were set, by function and option."""
    return {_set_for(item.name): int(item.body) for item in items}


def _set_for(name: str) -> tuple[str, str]:
    function, _, option = name.partition(_UNIT)
    return function, option


class Tables(Protocol):
    """One open transaction over all rows."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def flush(self) -> None:
        """Bring out the errors of everything that was done so far."""
        ...

    def savepoint(self) -> None:
        """Mark a place inside the transaction; the mark before it is forgotten."""
        ...

    def rollback_to_savepoint(self) -> None: ...

    def store_error(self, error: Exception) -> StoreError | None:
        """Tell what an error means for the whole store; None if only the operation that caused it is to blame."""
        ...

    def next_ord(self) -> int:
        """Return the next number in the order of acceptance. Numbers may be left out, never repeated."""
        ...

    def catalog(self) -> Catalog: ...
    def app(self, name: str) -> AppManifest | None: ...
    def put_app(self, app: AppManifest) -> None: ...
    def set_paused(self, function: str, is_paused: bool) -> None:
        """Have a function be one of the `catalog().paused`, or not."""
        ...

    def set_limit(self, function: str, option: str, limit: int | None) -> None:
        """Have `catalog().limits` hold this limit; None: not any more."""
        ...

    def run(self, run: str) -> Run | None: ...
    def run_at(self, ord: int) -> Run: ...
    def full(self, run: Run) -> Run: ...
    def made_of(self, run: Run) -> tuple[str, ...]:
        """Return the ids of a run's events, and read nothing else of it."""
        ...

    def expect(self, ords: Sequence[int]) -> None:
        """Hear that these unfinished runs, what they carry and their events are asked for next. Changes nothing."""
        ...

    def add_run(self, run: Run) -> None: ...
    def put_run(self, run: Run) -> None: ...
    def put_events(self, run: Run, events: tuple[str, ...]) -> None:
        """Change the events of a run that nobody has claimed yet."""
        ...

    def end_run(self, run: Run) -> None:
        """Store a run's terminal state, with its output and failure."""
        ...

    def held_by(self, holder: str) -> list[Run]:
        """Return the unfinished runs of a holder, by ord."""
        ...

    def held(self) -> list[Run]:
        """Return the unfinished runs that have a holder, by ord."""
        ...

    def add_frame(self, run: Run, entries: bytes) -> None:
        """Append a worker's frame at (run.epoch, run.seq)."""
        ...

    def add_entry(self, run: Run, entry: bytes) -> None:
        """Append an engine entry at run.pos."""
        ...

    def journal(self, run: Run) -> Journal: ...
    def entries_after(self, run: Run, pos: int) -> tuple[bytes, ...]: ...

    def add_event(self, event: Event, received_at_ms: int, runs: int) -> bool:
        """Store an event that starts so many runs; False, and nothing changed, if its id exists."""
        ...

    def keep_event(self, event: str) -> None:
        """Note that one run more is made of this event."""
        ...

    def release_event(self, event: str) -> EventRow | None:
        """Note that one run less is kept of this event; return what is known of it then."""
        ...

    def join_event(self, event: str, run: str) -> None:
        """Note that an event joined a run that others began; nothing if there is no such event."""
        ...

    def joined(self, event: str) -> tuple[str, ...]:
        """Return the runs that an event joined, in the order in which it did."""
        ...

    def expect_sent(self, events: Sequence[str]) -> None:
        """Hear that these events, and the answers to whoever sent them, are asked for next. Changes nothing."""
        ...

    def event(self, event: str) -> Event | None: ...
    def events_after(self, name: str, ord: int, received_at_ms: int) -> Iterable[Event]:
        """Return the events of this name accepted after `ord` and not before `received_at_ms`, oldest first."""
        ...

    def remembered(self, event: str) -> Remembered | None: ...
    def remember(self, event: str, answer: Remembered) -> None: ...
    def forget_answers(self, now_ms: int, limit: int) -> None:
        """Delete at most `limit` answers that expired."""
        ...

    def claimed(self, claim: str) -> tuple[tuple[int, int], ...] | None:
        """Return (ord, epoch) of what a claim took; None if it is new.

        Only the process that claims ever repeats a claim.
        """
        ...

    def put_claimed(self, claim: str, taken: tuple[tuple[int, int], ...]) -> None: ...

    def queue_row(self, ord: int) -> QueueRow | None: ...
    def put_queue_row(self, row: QueueRow) -> None: ...
    def drop_queue_row(self, ord: int) -> None: ...
    def heads(self, function: str, limit: int) -> list[QueueRow]:
        """Return the first OPEN rows of a function by (rank, ord)."""
        ...

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        """Return the LATER rows that are due, by (due, ord)."""
        ...

    def line_heads(self, flow_key: str) -> list[QueueRow]:
        """Return the first row of each function in line for a key, by (rank, ord), ordered by function."""
        ...

    def line_keys(self, function: str, after: str, limit: int) -> list[str]:
        """Return the first keys behind `after` in whose lines runs of a function stand."""
        ...

    def last_rank(self, function: str, fair_key: str) -> int:
        """Return the highest rank of the function's rows with this fair key; 0 if there are none."""
        ...

    def first_rank(self, function: str) -> int:
        """Return the lowest rank of 2 and more of the function's OPEN and LINE rows; 0 if there are none."""
        ...

    def places_taken(self, flow_key: str) -> int:
        """Return how many runs have a place of this key."""
        ...

    def places_offered(self, flow_key: str, function: str) -> int:
        """Return how many runs of a function are offered a place of this key."""
        ...

    def place(self, flow_key: str, ord: int) -> bool | None:
        """Tell whether a run has a place of this key; False: it is offered one, None: it stands for none."""
        ...

    def offers_before(self, flow_key: str, function: str, rank: int, ord: int) -> int:
        """Return how many of those offers are to runs that stand before this (rank, ord)."""
        ...

    def put_place(self, flow_key: str, ord: int, function: str, is_taken: bool, rank: int = NEW) -> None:
        """Offer a run a place, or give it one, whatever it had before. `rank` is that of its queue row."""
        ...

    def drop_place(self, flow_key: str, ord: int) -> None:
        """Take a place from a run, also one that is only offered; nothing if it has none."""
        ...

    def wait(self, ord: int, key: str) -> OpenWait | None: ...
    def waits_of(self, ord: int) -> list[OpenWait]:
        """Return all open waits of a run, by key."""
        ...

    def has_waits(self, ord: int) -> bool:
        """Tell whether a run has an open wait of its own; what the engine watches it for is none."""
        ...

    def put_wait(self, wait: OpenWait) -> None: ...
    def drop_wait(self, ord: int, key: str) -> None: ...
    def wait_paths(self, event: str) -> list[str]:
        """Return the paths under which waits for this event name stand, "" for those without an equality."""
        ...

    def waits_at(self, event: str, path: str, value: bytes) -> list[OpenWait]:
        """Return the event waits at this address, by (ord, key)."""
        ...

    def waits_due(self, now_ms: int, limit: int) -> list[OpenWait]:
        """Return the waits that are due, by (due, ord, key)."""
        ...

    def next_due_at_ms(self) -> int | None:
        """Return when the next wait, LATER row or item is due."""
        ...

    def item(self, kind: str, owner: str, name: str) -> Item | None: ...
    def items(self, kind: str, owner: str) -> list[Item]:
        """Return all items of a kind that an owner has, by name."""
        ...

    def items_due(self, now_ms: int, limit: int) -> list[Item]:
        """Return the items that are due, by (due, kind, owner, name)."""
        ...

    def put_item(self, item: Item) -> None: ...
    def drop_item(self, kind: str, owner: str, name: str) -> None: ...
    def drop_items(self, owner: str) -> None:
        """Delete everything that an owner has."""
        ...

    def ended_after(self, ord: int, limit: int) -> list[EndedRow]:
        """Return the first runs behind `ord` that are over, by ord."""
        ...

    def trim_journal(self, ord: int, limit: int) -> int:
        """Delete the newest `limit` rows of an ended run's journal; return how many there were."""
        ...

    def drop_run(self, ord: int) -> tuple[str, ...]:
        """Delete an ended run whose journal is empty; return the ids of its events."""
        ...

    def accepted_after(self, ord: int, limit: int) -> list[EventRow]:
        """Return the first events behind `ord`, by ord."""
        ...

    def drop_event(self, ord: int) -> None: ...

    def tags(self, ord: int) -> dict[str, str]:
        """Return the tags of a run."""
        ...

    def put_tags(self, ord: int, tags: Mapping[str, str]) -> None:
        """Give a run these tags; others that it has stay."""
        ...

    def duty(self, name: str) -> Duty | None: ...
    def put_duty(self, duty: Duty) -> None: ...

    def session(self, instance: str) -> Session | None: ...
    def put_session(self, session: Session) -> None: ...
    def sessions_at(self, replica: str, limit: int) -> list[Session]:
        """Return the first sessions whose newest connection this replica has, by instance."""
        ...

    def release_sessions(self) -> None:
        """Note that no replica has any connection."""
        ...

    def forget_sessions(self, seen_before_ms: int, limit: int) -> None:
        """Delete at most `limit` sessions without a connection that were last seen before this moment."""
        ...

    def replica(self, replica: str) -> Replica | None: ...
    def replicas(self) -> list[Replica]:
        """Return all replicas, by id."""
        ...

    def put_replica(self, replica: Replica) -> None: ...
    def drop_replica(self, replica: str) -> None: ...
