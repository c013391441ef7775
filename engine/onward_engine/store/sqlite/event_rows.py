"""Events, the answers to their senders, and the functions that they start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import astuple
from onward_protocol.messages import AppManifest, Event

from ...model import Item
from ...rules.triggers import Catalog
from ..tables import LIMIT, PAUSE, Remembered, limit_item, limits_of
from . import rows
from .rows import Db
from .statements import statements

_SQL = statements("events")
_ITEMS = statements("items")


class EventRows:
    """Events by id and by name, answers by event id, apps by name."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._events: dict[str, Event] = {}  # of this transaction
        self._apps: dict[str, AppManifest] | None = None
        self._catalog: Catalog | None = None

    def add_event(self, event: Event, received_at_ms: int, runs: int) -> bool:
        meta = rows.pack(event.meta) if event.meta else rows.NO_META
        row = (event.ord, event.id, event.name, event.key, event.ts_ms, received_at_ms, meta, event.data, runs)
        is_new = self._db.execute(_SQL["add_event"], row).rowcount == 1
        if is_new:
            self._events[event.id] = event
        return is_new

    def join_event(self, event: str, run: str) -> None:
        self._db.execute(_SQL["join_event"], (run, event))

    def joined(self, event: str) -> tuple[str, ...]:
        return read_joined(self._db, event)

    def event(self, event: str) -> Event | None:
        found = self._events.get(event)
        if found is not None:
            return found
        row = self._db.execute(_SQL["event"], (event,)).fetchone()
        return None if row is None else rows.event_of(row)

    def expect_events(self, events: Iterable[str]) -> None:
        """Read events together."""
        unread = [event for event in events if event not in self._events]
        if unread:
            found = self._db.execute(_SQL["events"], (rows.listing(unread),)).fetchall()
            self._events.update((event.id, event) for event in map(rows.event_of, found))

    def events_after(self, name: str, ord: int, received_at_ms: int) -> Iterator[Event]:
        return map(rows.event_of, self._db.execute(_SQL["events_after"], (name, ord, received_at_ms)))

    def remembered(self, event: str) -> Remembered | None:
        row = self._db.execute(_SQL["remembered"], (event,)).fetchone()
        return None if row is None else Remembered(row[0], rows.unpack_accepted(row[1]), row[2])

    def remember(self, event: str, answer: Remembered) -> None:
        row = (event, answer.expires_at_ms, answer.body, rows.pack(answer.answer))
        self._db.execute(_SQL["remember"], row)

    def forget_answers(self, now_ms: int, limit: int) -> None:
        self._db.execute(_SQL["forget_answers"], (now_ms, limit))

    def catalog(self) -> Catalog:
        if self._catalog is None:
            paused = [name for (name,) in self._db.execute(_ITEMS["paused"], (PAUSE,))]
            limits = limits_of(Item(*row) for row in self._db.execute(_ITEMS["items"], ("", LIMIT)))
            self._catalog = Catalog(self._all_apps().values(), paused, limits)
        return self._catalog

    def app(self, name: str) -> AppManifest | None:
        return self._all_apps().get(name)

    def put_app(self, app: AppManifest) -> None:
        self._db.execute(_SQL["put_app"], (app.name, rows.pack(app)))
        self._discard_apps()

    def set_paused(self, function: str, is_paused: bool) -> None:
        if is_paused:
            self._db.execute(_ITEMS["put_item"], astuple(Item(PAUSE, "", function)))
        else:
            self._db.execute(_ITEMS["drop_item"], ("", PAUSE, function))
        self._discard_apps()

    def set_limit(self, function: str, option: str, limit: int | None) -> None:
        item = limit_item(function, option, limit or 0)
        if limit is None:
            self._db.execute(_ITEMS["drop_item"], (item.owner, item.kind, item.name))
        else:
            self._db.execute(_ITEMS["put_item"], astuple(item))
        self._discard_apps()

    def _all_apps(self) -> dict[str, AppManifest]:
        if self._apps is None:
            self._apps = {app.name: app for app in read_apps(self._db)}
        return self._apps

    def _discard_events(self) -> None:
        self._events = {}

    def _discard_apps(self) -> None:
        self._apps = self._catalog = None


def read_joined(db: Db, event: str) -> tuple[str, ...]:
    """Return the runs that an event has joined."""
    row = db.execute(_SQL["joined"], (event,)).fetchone()
    return () if row is None else tuple(row[0].split())


def read_apps(db: Db) -> list[AppManifest]:
    """Return every registered app, by name."""
    return [rows.unpack_app(manifest) for (manifest,) in db.execute(_SQL["apps"])]
