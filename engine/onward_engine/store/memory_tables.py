"""The rows in dicts, with the same answers in the same order as a database gives."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event

from ..model import Item, Replica, Run, Session
from ..rules import waits
from ..rules.flow import ranks
from ..rules.flow.facts import Holders
from ..rules.triggers import Catalog
from ..rules.watches import is_reserved
from .claims import RecentClaims, Taken
from .journals import JournalRow
from .port import KeptEvent, StoreError
from .tables import (
    LIMIT,
    PAUSE,
    Duty,
    EndedRow,
    EventRow,
    Journal,
    OpenWait,
    QueueRow,
    QueueState,
    Remembered,
    limit_item,
    limits_of,
)
from .undo import Undo

K = TypeVar("K")


class _Place(NamedTuple):
    function: str
    is_taken: bool
    rank: int


class MemoryTables:
    """Implements `Tables`. Runs keep their payloads all the time: there is nothing to save by leaving them out."""

    def __init__(self) -> None:
        self._undo = Undo()
        self._mark = 0
        self._last_ord = {"": 0}
        self._catalog: Catalog | None = None
        self._claims = RecentClaims()
        self.apps: dict[str, AppManifest] = {}
        self.ords: dict[str, int] = {}
        self.runs: dict[int, Run] = {}
        self.events: dict[str, Event] = {}
        self._held: dict[str, list[int]] = defaultdict(list)
        self._journal: dict[int, list[JournalRow]] = defaultdict(list)
        self._entries: dict[int, list[bytes]] = defaultdict(list)
        self._events_named: dict[str, list[tuple[int, int, Event]]] = defaultdict(list)
        self._kept_events: dict[str, EventRow] = {}
        self._joined: dict[str, tuple[str, ...]] = {}
        self._duties: dict[str, Duty] = {}
        self._answers: dict[str, Remembered] = {}
        self._expiries: list[tuple[int, str]] = []
        self._queue: dict[int, QueueRow] = {}
        self._open: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._later: list[tuple[int, int]] = []
        self._lines: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(dict)  # by flow key and function
        self._fair: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._ranked: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._places: dict[str, dict[int, _Place]] = defaultdict(dict)
        self._taken: dict[str, int] = {}
        self._offered: dict[tuple[str, str], int] = {}
        self._sessions: dict[str, Session] = {}
        self._replicas: dict[str, Replica] = {}
        self._waits: dict[int, dict[str, OpenWait]] = defaultdict(dict)
        self._waits_due: list[tuple[int, int, str]] = []
        self._items: dict[str, dict[tuple[str, str], Item]] = defaultdict(dict)  # by owner, kind and name
        self._items_due: list[tuple[int, str, str, str]] = []
        self._tags: dict[int, dict[str, str]] = {}
        self._waits_at: dict[str, dict[tuple[str, bytes], list[tuple[int, str]]]] = defaultdict(dict)

    # -- the transaction --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._undo.clear()

    def commit(self) -> None:
        self._undo.clear()
        self._claims.commit()

    def rollback(self) -> None:
        self._undo.back_to(0)
        self._claims.rollback()
        self._catalog = None

    def flush(self) -> None:
        """Nothing is held back here."""

    def savepoint(self) -> None:
        self._mark = self._undo.mark()
        self._claims.savepoint()

    def rollback_to_savepoint(self) -> None:
        self._undo.back_to(self._mark)
        self._claims.rollback_to_savepoint()
        self._catalog = None

    def store_error(self, error: Exception) -> StoreError | None:
        """Memory does not break."""
        del error
        return None

    def next_ord(self) -> int:
        self._undo.set(self._last_ord, "", self._last_ord[""] + 1)
        return self._last_ord[""]

    # -- functions --------------------------------------------------------------------------------------------------

    def catalog(self) -> Catalog:
        if self._catalog is None:
            paused = [item.name for item in self.items(PAUSE, "")]
            self._catalog = Catalog(self.apps.values(), paused, limits_of(self.items(LIMIT, "")))
        return self._catalog

    def app(self, name: str) -> AppManifest | None:
        return self.apps.get(name)

    def put_app(self, app: AppManifest) -> None:
        self._undo.set(self.apps, app.name, app)
        self._catalog = None

    def set_paused(self, function: str, is_paused: bool) -> None:
        if is_paused:
            self.put_item(Item(PAUSE, "", function))
        else:
            self.drop_item(PAUSE, "", function)
        self._catalog = None

    def set_limit(self, function: str, option: str, limit: int | None) -> None:
        item = limit_item(function, option, limit or 0)
        if limit is None:
            self.drop_item(item.kind, item.owner, item.name)
        else:
            self.put_item(item)
        self._catalog = None

    # -- runs -------------------------------------------------------------------------------------------------------

    def run(self, run: str) -> Run | None:
        ord = self.ords.get(run)
        return None if ord is None else self.runs[ord]

    def run_at(self, ord: int) -> Run:
        return self.runs[ord]

    def full(self, run: Run) -> Run:
        return self.runs[run.ord]

    def made_of(self, run: Run) -> tuple[str, ...]:
        return self.runs[run.ord].events

    def expect(self, ords: Sequence[int]) -> None:
        """It is all here."""

    def expect_sent(self, events: Sequence[str]) -> None:
        """They are all here."""

    def add_run(self, run: Run) -> None:
        if run.id in self.ords:
            raise KeyError(f"there is a run {run.id} already")
        self._undo.set(self.ords, run.id, run.ord)
        self._undo.set(self.runs, run.ord, run)

    def put_run(self, run: Run) -> None:
        self._set_holder(run, run.holder)

    def put_events(self, run: Run, events: tuple[str, ...]) -> None:
        self._undo.set(self.runs, run.ord, replace(self.runs[run.ord], events=events))

    def end_run(self, run: Run) -> None:
        self._set_holder(run, "")

    def _set_holder(self, run: Run, holder: str) -> None:
        old, events = self.runs[run.ord].holder, self.runs[run.ord].events
        if run.events is not events:
            run = replace(run, events=events)
        if old != holder:
            if old:
                self._undo.remove(self._held[old], run.ord)
            if holder:
                self._undo.add(self._held[holder], run.ord)
        self._undo.set(self.runs, run.ord, run)

    def held_by(self, holder: str) -> list[Run]:
        return [self.runs[ord] for ord in self._held.get(holder, ())]

    def held(self) -> list[Run]:
        return [self.runs[ord] for ord in sorted(ord for ords in self._held.values() for ord in ords)]

    # -- the journal ------------------------------------------------------------------------------------------------

    def add_frame(self, run: Run, entries: bytes) -> None:
        self._append(run, run.epoch, run.seq, entries)

    def add_entry(self, run: Run, entry: bytes) -> None:
        self._append(run, 0, run.pos, entry)
        self._undo.append(self._entries[run.ord], entry)

    def _append(self, run: Run, epoch: int, seq: int, data: bytes) -> None:
        journal = self._journal[run.ord]
        self._undo.append(journal, JournalRow(len(journal) + 1, epoch, seq, data))

    def journal(self, run: Run) -> Journal:
        frames = [row[1:] for row in self.rows(run) if row.epoch]
        return Journal(tuple(frames), tuple(self._entries.get(run.ord, ())))

    def rows(self, run: Run, after: int = 0) -> Iterator[JournalRow]:
        """Return the rows of a run's journal behind the place `after`."""
        return islice(self._journal.get(run.ord, ()), after, None)

    def entries_after(self, run: Run, pos: int) -> tuple[bytes, ...]:
        return tuple(self._entries.get(run.ord, ())[pos:])

    # -- events -----------------------------------------------------------------------------------------------------

    def add_event(self, event: Event, received_at_ms: int, runs: int) -> bool:
        if event.id in self.events:
            return False
        self._undo.set(self.events, event.id, event)
        self._undo.set(self._kept_events, event.id, EventRow(event.ord, event.id, received_at_ms, runs))
        self._undo.append(self._events_named[event.name], (event.ord, received_at_ms, event))
        return True

    def keep_event(self, event: str) -> None:
        self._count_runs(event, 1)

    def release_event(self, event: str) -> EventRow | None:
        self._count_runs(event, -1)
        return self._kept_events.get(event)

    def join_event(self, event: str, run: str) -> None:
        if event in self._kept_events:
            self._undo.set(self._joined, event, (*self.joined(event), run))

    def joined(self, event: str) -> tuple[str, ...]:
        return self._joined.get(event, ())

    def _count_runs(self, event: str, change: int) -> None:
        row = self._kept_events.get(event)
        if row is not None:
            self._undo.set(self._kept_events, event, replace(row, runs=max(0, row.runs + change)))

    def event(self, event: str) -> Event | None:
        return self.events.get(event)

    def kept_events(self) -> Iterator[KeptEvent]:
        """Return all events, newest first."""
        for row in sorted(self._kept_events.values(), key=lambda row: row.ord, reverse=True):
            yield KeptEvent(self.events[row.id], row.received_at_ms, row.runs)

    def events_after(self, name: str, ord: int, received_at_ms: int) -> Iterator[Event]:
        named = self._events_named.get(name, [])
        for index in range(bisect_right(named, ord, key=_first), len(named)):
            if named[index][1] >= received_at_ms:
                yield named[index][2]

    def remembered(self, event: str) -> Remembered | None:
        return self._answers.get(event)

    def remember(self, event: str, answer: Remembered) -> None:
        self._forget(event)
        self._undo.set(self._answers, event, answer)
        self._undo.add(self._expiries, (answer.expires_at_ms, event))

    def forget_answers(self, now_ms: int, limit: int) -> None:
        for _, event in [item for item in self._expiries[:limit] if item[0] <= now_ms]:
            self._forget(event)

    def _forget(self, event: str) -> None:
        answer = self._undo.drop(self._answers, event)
        if answer is not None:
            self._undo.remove(self._expiries, (answer.expires_at_ms, event))

    # -- the queue --------------------------------------------------------------------------------------------------

    def claimed(self, claim: str) -> Taken | None:
        return self._claims.get(claim)

    def put_claimed(self, claim: str, taken: Taken) -> None:
        self._claims.put(claim, taken)

    def queue_row(self, ord: int) -> QueueRow | None:
        return self._queue.get(ord)

    def put_queue_row(self, row: QueueRow) -> None:
        self.drop_queue_row(row.ord)
        self._undo.set(self._queue, row.ord, row)
        if row.state is QueueState.LINE and row.function not in self._lines[row.flow_key]:
            self._undo.set(self._lines[row.flow_key], row.function, [])
        for rows, place in self._queue_places(row):
            self._undo.add(rows, place)

    def drop_queue_row(self, ord: int) -> None:
        row = self._undo.drop(self._queue, ord)
        if row is None:
            return
        for rows, place in self._queue_places(row):
            self._undo.remove(rows, place)
        if row.state is QueueState.LINE and not self._lines[row.flow_key][row.function]:
            self._undo.drop(self._lines[row.flow_key], row.function)

    def heads(self, function: str, limit: int) -> list[QueueRow]:
        return [self._queue[ord] for _, ord in self._open.get(function, [])[:limit]]

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        return [self._queue[ord] for due_at_ms, ord in self._later[:limit] if due_at_ms <= now_ms]

    def line_heads(self, flow_key: str) -> list[QueueRow]:
        return [self._queue[line[0][1]] for _, line in sorted(self._lines.get(flow_key, {}).items())]

    def line_keys(self, function: str, after: str, limit: int) -> list[str]:
        return sorted(key for key, lines in self._lines.items() if function in lines and key > after)[:limit]

    def queue_rows(self) -> Iterable[QueueRow]:
        """Return the whole queue."""
        return self._queue.values()

    def last_rank(self, function: str, fair_key: str) -> int:
        rows = self._fair.get((function, fair_key))
        return rows[-1][0] if rows else 0

    def first_rank(self, function: str) -> int:
        rows = self._ranked.get(function)
        return rows[0][0] if rows else 0

    def _queue_places(self, row: QueueRow) -> Iterator[tuple[list[tuple[int, int]], tuple[int, int]]]:
        place = (row.rank, row.ord)
        match row.state:
            case QueueState.OPEN:
                yield self._open[row.function], place
            case QueueState.LATER:
                yield self._later, (row.due_at_ms, row.ord)
            case QueueState.LINE:
                yield self._lines[row.flow_key][row.function], place
            case QueueState.HELD | QueueState.GATHERED:
                pass
        if row.fair_key:
            yield self._fair[row.function, row.fair_key], place
        if row.rank >= ranks.FIRST and row.state in (QueueState.OPEN, QueueState.LINE):
            yield self._ranked[row.function], place

    # -- places -----------------------------------------------------------------------------------------------------

    def places_taken(self, flow_key: str) -> int:
        return self._taken.get(flow_key, 0)

    def places_offered(self, flow_key: str, function: str) -> int:
        return self._offered.get((flow_key, function), 0)

    def offers_before(self, flow_key: str, function: str, rank: int, ord: int) -> int:
        offered = [(place, at) for at, place in self._places.get(flow_key, {}).items() if not place.is_taken]
        return sum(place.function == function and (place.rank, at) < (rank, ord) for place, at in offered)

    def place(self, flow_key: str, ord: int) -> bool | None:
        place = self._places.get(flow_key, {}).get(ord)
        return None if place is None else place.is_taken

    def holders(self, flow_key: str, limit: int) -> Holders:
        """Return who has the places of a key."""
        places = self._places.get(flow_key, {})
        taken = sorted(ord for ord, place in places.items() if place.is_taken)
        return Holders(len(taken), len(places) - len(taken), tuple(self.runs[ord].id for ord in taken[:limit]))

    def put_place(self, flow_key: str, ord: int, function: str, is_taken: bool, rank: int = ranks.NEW) -> None:
        self.drop_place(flow_key, ord)
        place = _Place(function, is_taken, rank)
        self._undo.set(self._places[flow_key], ord, place)
        self._count_place(flow_key, place, 1)

    def drop_place(self, flow_key: str, ord: int) -> None:
        place = self._undo.drop(self._places.get(flow_key, {}), ord)
        if place is not None:
            self._count_place(flow_key, place, -1)

    def _count_place(self, flow_key: str, place: _Place, change: int) -> None:
        if place.is_taken:
            _count(self._undo, self._taken, flow_key, change)
        else:
            _count(self._undo, self._offered, (flow_key, place.function), change)

    # -- waits ------------------------------------------------------------------------------------------------------

    def wait(self, ord: int, key: str) -> OpenWait | None:
        return self._waits.get(ord, {}).get(key)

    def waits_of(self, ord: int) -> list[OpenWait]:
        return [wait for _, wait in sorted(self._waits.get(ord, {}).items())]

    def has_waits(self, ord: int) -> bool:
        return any(not is_reserved(key) for key in self._waits.get(ord, {}))

    def put_wait(self, wait: OpenWait) -> None:
        self.drop_wait(wait.ord, wait.key)
        self._undo.set(self._waits[wait.ord], wait.key, wait)
        if wait.due_at_ms is not None:
            self._undo.add(self._waits_due, (wait.due_at_ms, wait.ord, wait.key))
        if place := waits.place(wait.wait):
            event, path, value = place
            addresses = self._waits_at[event]
            if (path, value) not in addresses:
                self._undo.set(addresses, (path, value), [])
            self._undo.add(addresses[path, value], (wait.ord, wait.key))

    def drop_wait(self, ord: int, key: str) -> None:
        wait = self._undo.drop(self._waits.get(ord, {}), key)
        if wait is None:
            return
        if wait.due_at_ms is not None:
            self._undo.remove(self._waits_due, (wait.due_at_ms, ord, key))
        if place := waits.place(wait.wait):
            event, path, value = place
            addresses = self._waits_at[event]
            self._undo.remove(addresses[path, value], (ord, key))
            if not addresses[path, value]:
                self._undo.drop(addresses, (path, value))

    def wait_paths(self, event: str) -> list[str]:
        return sorted({path for path, _ in self._waits_at.get(event, {})})

    def waits_at(self, event: str, path: str, value: bytes) -> list[OpenWait]:
        found = self._waits_at.get(event, {}).get((path, value), [])
        return [self._waits[ord][key] for ord, key in found]

    def waits_due(self, now_ms: int, limit: int) -> list[OpenWait]:
        due = [item for item in self._waits_due[:limit] if item[0] <= now_ms]
        return [self._waits[ord][key] for _, ord, key in due]

    def next_due_at_ms(self) -> int | None:
        return min([rows[0][0] for rows in (self._waits_due, self._later, self._items_due) if rows], default=None)

    # -- what is kept by name ---------------------------------------------------------------------------------------

    def item(self, kind: str, owner: str, name: str) -> Item | None:
        return self._items.get(owner, {}).get((kind, name))

    def items(self, kind: str, owner: str) -> list[Item]:
        return [item for (found, _), item in sorted(self._items.get(owner, {}).items()) if found == kind]

    def items_due(self, now_ms: int, limit: int) -> list[Item]:
        due = [place for place in self._items_due[: max(0, limit)] if place[0] <= now_ms]
        return [self._items[owner][kind, name] for _, kind, owner, name in due]

    def put_item(self, item: Item) -> None:
        self.drop_item(item.kind, item.owner, item.name)
        self._undo.set(self._items[item.owner], (item.kind, item.name), item)
        if item.due_at_ms is not None:
            self._undo.add(self._items_due, (item.due_at_ms, item.kind, item.owner, item.name))

    def drop_item(self, kind: str, owner: str, name: str) -> None:
        item = self._undo.drop(self._items.get(owner, {}), (kind, name))
        if item is not None and item.due_at_ms is not None:
            self._undo.remove(self._items_due, (item.due_at_ms, kind, owner, name))

    def drop_items(self, owner: str) -> None:
        for kind, name in list(self._items.get(owner, {})):
            self.drop_item(kind, owner, name)

    # -- tags -------------------------------------------------------------------------------------------------------

    def tags(self, ord: int) -> dict[str, str]:
        return dict(self._tags.get(ord, {}))

    def tagged(self, run: Run) -> Run:
        """Return a run with its tags."""
        return replace(run, tags=self.tags(run.ord)) if run.ord in self._tags else run

    def put_tags(self, ord: int, tags: Mapping[str, str]) -> None:
        self._undo.set(self._tags, ord, {**self._tags.get(ord, {}), **tags})

    # -- what is over -----------------------------------------------------------------------------------------------

    def ended_after(self, ord: int, limit: int) -> list[EndedRow]:
        ended = (run for run in self.runs.values() if run.ord > ord and run.status.is_terminal)
        first = sorted(ended, key=lambda run: run.ord)[: max(0, limit)]
        return [EndedRow(run.ord, run.id, run.created_at_ms, run.ended_at_ms) for run in first]

    def trim_journal(self, ord: int, limit: int) -> int:
        rows = self._journal.get(ord, [])
        kept = rows[: max(0, len(rows) - limit)]
        self._undo.set(self._journal, ord, kept)
        return len(rows) - len(kept)

    def drop_run(self, ord: int) -> tuple[str, ...]:
        run = self.runs[ord]
        self._undo.drop(self.ords, run.id)
        self._undo.drop(self.runs, ord)
        self._undo.drop(self._journal, ord)
        self._undo.drop(self._entries, ord)
        self._undo.drop(self._tags, ord)
        return run.events

    def accepted_after(self, ord: int, limit: int) -> list[EventRow]:
        rows = sorted((row for row in self._kept_events.values() if row.ord > ord), key=lambda row: row.ord)
        return rows[: max(0, limit)]

    def drop_event(self, ord: int) -> None:
        row = next(row for row in self._kept_events.values() if row.ord == ord)
        event = self.events[row.id]
        self._undo.remove(self._events_named[event.name], (ord, row.received_at_ms, event))
        self._undo.drop(self.events, row.id)
        self._undo.drop(self._kept_events, row.id)
        self._undo.drop(self._joined, row.id)

    def duty(self, name: str) -> Duty | None:
        return self._duties.get(name)

    def put_duty(self, duty: Duty) -> None:
        self._undo.set(self._duties, duty.name, duty)

    # -- who is connected, and where ----------------------------------------------------------------------------------

    def session(self, instance: str) -> Session | None:
        return self._sessions.get(instance)

    def put_session(self, session: Session) -> None:
        self._undo.set(self._sessions, session.instance, session)

    def sessions_at(self, replica: str, limit: int) -> list[Session]:
        found = sorted(instance for instance, session in self._sessions.items() if session.replica == replica)
        return [self._sessions[instance] for instance in found[:limit]]

    def release_sessions(self) -> None:
        for session in [session for session in self._sessions.values() if session.replica or session.guarded_until_ms]:
            self.put_session(replace(session, replica="", guarded_until_ms=0))

    def forget_sessions(self, seen_before_ms: int, limit: int) -> None:
        idle = (one for one in self._sessions.values() if not one.replica and one.seen_at_ms < seen_before_ms)
        for session in sorted(idle, key=lambda one: (one.seen_at_ms, one.instance))[:limit]:
            self._undo.drop(self._sessions, session.instance)

    def replica(self, replica: str) -> Replica | None:
        return self._replicas.get(replica)

    def replicas(self) -> list[Replica]:
        return [replica for _, replica in sorted(self._replicas.items())]

    def put_replica(self, replica: Replica) -> None:
        self._undo.set(self._replicas, replica.id, replica)

    def drop_replica(self, replica: str) -> None:
        self._undo.drop(self._replicas, replica)


def _count(undo: Undo, counts: dict[K, int], key: K, change: int) -> None:
    count = counts.get(key, 0) + change
    if count:
        undo.set(counts, key, count)
    else:
        undo.drop(counts, key)


def _first(item: tuple[int, int, Event]) -> int:
    return item[0]
