"""Events, the answers to their senders, and the functions that they start, of one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, Event

from ...rules.triggers import Catalog
from ..tables import EventRow, Remembered
from . import values
from .needs import Need
from .reading import Reading, check_text
from .rows import Rows
from .values import Row

LookBack = tuple[str, int, int]
_Changes = tuple[dict[str, AppManifest], dict[str, bool], dict[tuple[str, str], int | None]]


class KnownApps:
    """The registered apps as this process knows them. `version` says whether others have changed them since."""

    def __init__(self) -> None:
        """Begin with none."""
        self.version = -1
        self.apps: dict[str, AppManifest] = {}
        self.catalog = Catalog()

    def learn(
        self, version: int, apps: dict[str, AppManifest], paused: Iterable[str], limits: Mapping[tuple[str, str], int]
    ) -> None:
        """Note what is registered, paused and limited now."""
        self.version, self.apps, self.catalog = version, apps, Catalog(apps.values(), paused, limits)


class EventRows(Reading):
    """Events by id and by name, answers by event id, apps by name."""

    def begin_events(self, known: KnownApps) -> None:
        """Begin with nothing read."""
        self.known = known
        self.new_apps: dict[str, AppManifest] = {}
        self.new_pauses: dict[str, bool] = {}
        self.new_limits: dict[tuple[str, str], int | None] = {}
        self._catalog: tuple[_Changes, Catalog] | None = None
        self.events: Rows[str, Event] = Rows(self.undo)
        self.new_events: list[str] = []
        self.accepted: Rows[str, EventRow] = Rows(self.undo)
        self._ids: dict[int, str] = {}
        self._looked_back: dict[LookBack, list[Event]] = {}
        self._new_named: dict[str, list[Event]] = {}
        self.answers: Rows[str, Remembered] = Rows(self.undo)
        self.forgets: list[tuple[int, int]] = []
        self.joins: dict[str, tuple[str, ...]] = {}  # which runs events have joined in this batch
        self._joined: dict[str, tuple[str, ...]] = {}

    # -- events

    def add_event(self, event: Event, received_at_ms: int, runs: int) -> bool:
        if self.accepted.get(event.id) is not None:
            return False
        check_text(event.id, event.name, event.key)
        self._ids[event.ord] = event.id
        self.accepted.put(event.id, EventRow(event.ord, event.id, received_at_ms, runs))
        self.events.put(event.id, event)
        self.undo.append(self.new_events, event.id)
        self.undo.append(self._new_named.setdefault(event.name, []), event)
        return True

    def keep_event(self, event: str) -> None:
        self._count_runs(event, 1)

    def release_event(self, event: str) -> EventRow | None:
        self._count_runs(event, -1)
        return self.accepted.get(event)

    def join_event(self, event: str, run: str) -> None:
        check_text(event, run)
        self.undo.set(self.joins, event, (*self.joins.get(event, ()), run))

    def joined(self, event: str) -> tuple[str, ...]:
        is_new = event in self.new_events
        if not is_new:
            self.ask("joined", event)
        is_there = is_new or event in self._joined
        return (*self._joined.get(event, ()), *self.joins.get(event, ())) if is_there else ()

    def drop_event(self, ord: int) -> None:
        self.accepted.put(self._ids[ord], None)

    def event(self, event: str) -> Event | None:
        if event not in self.events:
            self.ask("event", event)
        return self.events.get(event)

    def events_after(self, name: str, ord: int, received_at_ms: int) -> Iterator[Event]:
        key = (name, ord, received_at_ms)
        self.ask("opens", name)
        self.ask("back", key, 1)
        yield from self._looked_back.get(key, ())
        limit = self.covered.get(Need("back", key), 0)
        if limit and len(self._looked_back[key]) == limit:
            self.missing.want("back", key, 4 * limit)
            return
        yield from [event for event in self._new_named.get(name, ()) if event.ord > ord]

    def _count_runs(self, event: str, change: int) -> None:
        if event not in self.accepted:
            self.ask("accepted", event)
        row = self.accepted.get(event)
        if row is not None:
            self.accepted.put(event, replace(row, runs=max(0, row.runs + change)))

    # -- answers

    def remembered(self, event: str) -> Remembered | None:
        if event not in self.answers:
            self.ask("answer", event)
        return self.answers.get(event)

    def remember(self, event: str, answer: Remembered) -> None:
        check_text(event)
        if event not in self.answers:
            self.ask("answer", event)
        self.answers.put(event, answer)

    def forget_answers(self, now_ms: int, limit: int) -> None:
        self.undo.append(self.forgets, (now_ms, limit))

    # -- functions

    def catalog(self) -> Catalog:
        changes = (self.new_apps, self.new_pauses, self.new_limits)
        if not any(changes):
            return self.known.catalog
        if self._catalog is None or self._catalog[0] != changes:
            apps = {**self.known.apps, **self.new_apps}
            paused = {**dict.fromkeys(self.known.catalog.paused, True), **self.new_pauses}
            limits = {**self.known.catalog.limits, **self.new_limits}
            set_now = {place: limit for place, limit in limits.items() if limit is not None}
            catalog = Catalog(apps.values(), [function for function, is_paused in paused.items() if is_paused], set_now)
            self._catalog = ((dict(self.new_apps), dict(self.new_pauses), dict(self.new_limits)), catalog)
        return self._catalog[1]

    def app(self, name: str) -> AppManifest | None:
        self.ask("apps", ())
        return self.new_apps.get(name, self.known.apps.get(name))

    def put_app(self, app: AppManifest) -> None:
        check_text(app.name)
        self.undo.set(self.new_apps, app.name, app)

    def set_paused(self, function: str, is_paused: bool) -> None:
        check_text(function)
        self.ask("apps", ())
        self.undo.set(self.new_pauses, function, is_paused)

    def set_limit(self, function: str, option: str, limit: int | None) -> None:
        check_text(function, option)
        self.ask("apps", ())
        self.undo.set(self.new_limits, (function, option), limit)

    # -- what was read

    def take_joined(self, rows: list[Row]) -> None:
        """Note which runs events have joined."""
        self._joined.update((id, tuple(joined.split())) for id, joined in rows)

    def take_events(self, wanted: list[str], rows: list[Row]) -> None:
        """Note events with their data."""
        for event in map(values.event_of, rows):
            self.events.load(event.id, event)
        for id in wanted:
            if id not in self.events:
                self.events.load(id, None)

    def take_accepted(self, wanted: list[str], rows: list[Row]) -> None:
        """Note events without their data."""
        for row in rows:
            self._ids[row[0]] = row[1]
            self.accepted.load(row[1], EventRow(*row))
        for id in wanted:
            if id not in self.accepted:
                self.accepted.load(id, None)

    def take_back(self, wanted: list[LookBack], rows: list[Row]) -> None:
        """Note events to look back to; the first column says for which of the wanted."""
        for key in wanted:
            self._looked_back[key] = []
        for index, *row in rows:
            self._looked_back[wanted[index]].append(values.event_of(tuple(row)))

    def take_answers(self, wanted: list[str], rows: list[Row]) -> None:
        """Note answers."""
        for event, body, answer, expires_at_ms in rows:
            self.answers.load(event, Remembered(body, values.unpack_accepted(answer), expires_at_ms))
        for event in wanted:
            if event not in self.answers:
                self.answers.load(event, None)
