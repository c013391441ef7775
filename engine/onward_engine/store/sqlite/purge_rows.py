"""Rows of what is over, and their end; who has the duty to look after it."""

from __future__ import annotations

from ..tables import Duty, EndedRow, EventRow
from . import rows
from .rows import Db
from .statements import statements

_SQL = statements("purge")
_TAGS = statements("tags")


class PurgeRows:
    """Ended runs and accepted events in the order of acceptance, and how they are deleted."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def ended_after(self, ord: int, limit: int) -> list[EndedRow]:
        return [EndedRow(*row) for row in self._db.execute(_SQL["ended_after"], (ord, max(0, limit))).fetchall()]

    def trim_journal(self, ord: int, limit: int) -> int:
        tail: int = self._db.execute(_SQL["ended_tail"], (ord,)).fetchone()[0]
        newest = self._db.execute(_SQL["newest"], {"tail": tail, "limit": limit}).fetchall()
        if newest:
            left: int = newest[-1][1]
            self._db.executemany(_SQL["drop_journal"], [(id,) for id, _ in newest])
            self._db.execute(_SQL["drop_marks"], (ord, left))
            self._db.execute(_SQL["put_ended_tail"], (left, ord))
        return len(newest)

    def drop_run(self, ord: int) -> tuple[str, ...]:
        (events,) = self._db.execute(_SQL["events_of"], (ord,)).fetchone()
        self._db.execute(_TAGS["drop_tags"], (ord,))
        self._db.execute(_SQL["drop_ended"], (ord,))
        self._db.execute(_SQL["drop_run"], (ord,))
        return rows.unpack_ids(events)

    def accepted_after(self, ord: int, limit: int) -> list[EventRow]:
        return [EventRow(*row) for row in self._db.execute(_SQL["accepted_after"], (ord, max(0, limit))).fetchall()]

    def keep_event(self, event: str) -> None:
        self._db.execute(_SQL["count_runs"], (1, event))

    def release_event(self, event: str) -> EventRow | None:
        self._db.execute(_SQL["count_runs"], (-1, event))
        row = self._db.execute(_SQL["accepted"], (event,)).fetchone()
        return None if row is None else EventRow(*row)

    def drop_event(self, ord: int) -> None:
        self._db.execute(_SQL["drop_event"], (ord,))

    def duty(self, name: str) -> Duty | None:
        row = self._db.execute(_SQL["duty"], (name,)).fetchone()
        return None if row is None else Duty(*row)

    def put_duty(self, duty: Duty) -> None:
        self._db.execute(_SQL["put_duty"], (duty.name, duty.replica, duty.epoch, duty.until_ms))
