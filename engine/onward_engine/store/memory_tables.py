"""The rows in dicts, with the same answers in the same order as a database gives."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event

from ..model import Item, Replica, Run, Session
from ..rules import waits
from ..rules.triggers import Catalog
from ..rules.watches import is_reserved
from .claims import RecentClaims, Taken
from .journals import JournalRow
from .port import KeptEvent, StoreError
from .tables import PAUSE, Duty, EndedRow, EventRow, Journal, OpenWait, QueueRow, QueueState, Remembered
from .undo import Undo


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
        self._duties: dict[str, Duty] = {}
        self._answers: dict[str, Remembered] = {}
        self._expiries: list[tuple[int, str]] = []
        self._queue: dict[int, QueueRow] = {}
        self._open: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._later: list[tuple[int, int]] = []
        self._line: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._held_rows: list[tuple[int, int]] = []
        self._places: dict[str, list[int]] = defaultdict(list)
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
            self._catalog = Catalog(self.apps.values(), [item.name for item in self.items(PAUSE, "")])
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

    # -- runs -------------------------------------------------------------------------------------------------------

    def run(self, run: str) -> Run | None:
        ord = self.ords.get(run)
        return None if ord is None else self.runs[ord]

    def run_at(self, ord: int) -> Run:
        return self.runs[ord]

    def full(self, run: Run) -> Run:
        return self.runs[run.ord]

    def expect(self, ords: Sequence[int]) -> None:
        """It is all here."""

    def add_run(self, run: Run) -> None:
        if run.id in self.ords:
            raise KeyError(f"there is a run {run.id} already")
        self._undo.set(self.ords, run.id, run.ord)
        self._undo.set(self.runs, run.ord, run)

    def put_run(self, run: Run) -> None:
        self._set_holder(run, run.holder)

    def end_run(self, run: Run) -> None:
        self._set_holder(run, "")

    def _set_holder(self, run: Run, holder: str) -> None:
        old = self.runs[run.ord].holder
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
        self._undo.add(*self._queue_place(row))

    def drop_queue_row(self, ord: int) -> None:
        row = self._undo.drop(self._queue, ord)
        if row is not None:
            self._undo.remove(*self._queue_place(row))

    def heads(self, function: str, limit: int) -> list[QueueRow]:
        return [self._queue[ord] for _, ord in self._open.get(function, [])[:limit]]

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        return [self._queue[ord] for due_at_ms, ord in self._later[:limit] if due_at_ms <= now_ms]

    def line_head(self, flow_key: str) -> QueueRow | None:
        line = self._line.get(flow_key)
        return self._queue[line[0][1]] if line else None

    def _queue_place(self, row: QueueRow) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        match row.state:
            case QueueState.OPEN:
                return self._open[row.function], (row.rank, row.ord)
            case QueueState.LATER:
                return self._later, (row.due_at_ms, row.ord)
            case QueueState.LINE:
                return self._line[row.flow_key], (row.rank, row.ord)
            case QueueState.HELD:
                return self._held_rows, (row.rank, row.ord)

    def places_taken(self, flow_key: str) -> int:
        return len(self._places.get(flow_key, ()))

    def has_place(self, flow_key: str, ord: int) -> bool:
        return ord in self._places.get(flow_key, ())

    def add_place(self, flow_key: str, ord: int) -> None:
        self._undo.add(self._places[flow_key], ord)

    def drop_place(self, flow_key: str, ord: int) -> None:
        self._undo.remove(self._places[flow_key], ord)

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


def _first(item: tuple[int, int, Event]) -> int:
    return item[0]
