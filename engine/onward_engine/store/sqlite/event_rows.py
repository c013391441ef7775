"""Events, the answers to their senders, and the functions that they start.

New events and answers are held back and written together. Every statement that reads these rows writes them first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import astuple
from onward_protocol.messages import AppManifest, Event

from ...model import Item
from ...rules.triggers import Catalog
from ..tables import LIMIT, PAUSE, Remembered, limit_item, limits_of
from . import rows
from .rows import Db, Row
from .statements import statements

_SQL = statements("events")
_ITEMS = statements("items")


class EventRows:
    """Events by id and by name, answers by event id, apps by name."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._events: dict[str, Event | None] = {}  # read or added in this transaction; None: there is none
        self._answers: dict[str, Remembered | None] = {}
        self._new_events: list[Row] = []
        self._new_answers: dict[str, Row] = {}
        self._apps: dict[str, AppManifest] | None = None
        self._catalog: Catalog | None = None

    def add_event(self, event: Event, received_at_ms: int, runs: int) -> bool:
        if self.event(event.id) is not None:
            return False
        meta = rows.pack(event.meta) if event.meta else rows.NO_META
        row = (event.ord, event.id, event.name, event.key, event.ts_ms, received_at_ms, meta, event.data, runs)
        self._new_events.append(row)
        self._events[event.id] = event
        return True

    def join_event(self, event: str, run: str) -> None:
        self.flush_events()
        self._db.execute(_SQL["join_event"], (run, event))

    def joined(self, event: str) -> tuple[str, ...]:
        self.flush_events()
        return read_joined(self._db, event)

    def event(self, event: str) -> Event | None:
        if event not in self._events:
            row = self._db.execute(_SQL["event"], (event,)).fetchone()
            self._events[event] = None if row is None else rows.event_of(row)
        return self._events[event]

    def expect_sent(self, events: Sequence[str]) -> None:
        self.expect_events(events)
        unread = [event for event in events if event not in self._answers]
        if unread:
            self._answers.update(dict.fromkeys(unread))
            for event, *answer in self._db.execute(_SQL["all_remembered"], (rows.listing(unread),)).fetchall():
                self._answers[event] = _remembered(answer)

    def expect_events(self, events: Iterable[str]) -> None:
        """Read events together."""
        unread = [event for event in events if event not in self._events]
        if unread:
            self._events.update(dict.fromkeys(unread))
            found = self._db.execute(_SQL["events"], (rows.listing(unread),)).fetchall()
            self._events.update((event.id, event) for event in map(rows.event_of, found))

    def events_after(self, name: str, ord: int, received_at_ms: int) -> Iterator[Event]:
        self.flush_events()
        return map(rows.event_of, self._db.execute(_SQL["events_after"], (name, ord, received_at_ms)))

    def remembered(self, event: str) -> Remembered | None:
        if event not in self._answers:
            row = self._db.execute(_SQL["remembered"], (event,)).fetchone()
            self._answers[event] = None if row is None else _remembered(row)
        return self._answers[event]

    def remember(self, event: str, answer: Remembered) -> None:
        self._new_answers[event] = (event, answer.expires_at_ms, answer.body, rows.pack(answer.answer))
        self._answers[event] = answer

    def forget_answers(self, now_ms: int, limit: int) -> None:
        self.flush_events()
        self._answers = {}
        self._db.execute(_SQL["forget_answers"], (now_ms, limit))

    def flush_events(self) -> None:
        """Write what was held back."""
        if self._new_events:
            self._db.executemany(_SQL["add_event"], self._new_events)
            self._new_events = []
        if self._new_answers:
            self._db.executemany(_SQL["remember"], self._new_answers.values())
            self._new_answers = {}

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

    def _trim_events(self) -> None:
        """Forget what was read; only when nothing is held back."""
        self._events, self._answers = {}, {}

    def _discard_events(self) -> None:
        """Forget everything that a rollback may have made untrue."""
        self._trim_events()
        self._new_events, self._new_answers = [], {}

    def _discard_apps(self) -> None:
        self._apps = self._catalog = None


def _remembered(row: Sequence[Any]) -> Remembered:
    body, answer, expires_at_ms = row
    return Remembered(body, rows.unpack_accepted(answer), expires_at_ms)


def read_joined(db: Db, event: str) -> tuple[str, ...]:
    """Return the runs that an event has joined."""
    row = db.execute(_SQL["joined"], (event,)).fetchone()
    return () if row is None else tuple(row[0].split())


def read_apps(db: Db) -> list[AppManifest]:
    """Return every registered app, by name."""
    return [rows.unpack_app(manifest) for (manifest,) in db.execute(_SQL["apps"])]
