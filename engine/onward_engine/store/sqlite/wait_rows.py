"""Open waits."""

from __future__ import annotations

from ...rules import waits
from ...rules.watches import RESERVED
from ..tables import OpenWait
from . import rows
from .rows import Db, Row
from .statements import statements

_SQL = statements("waits")
_NAMES_MAX = 1_000
_FIRST_OWN = chr(ord(RESERVED) + 1)
"""Keys of a run's own waits stand behind all that are the engine's."""


class WaitRows:
    """Waits by run and key, by due time, and by what an event must be to end them."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._paths: dict[str, list[str]] = {}  # by event name; may name paths at which nothing waits any more

    def wait(self, ord: int, key: str) -> OpenWait | None:
        return next(iter(self._waits("wait", ord, key)), None)

    def waits_of(self, ord: int) -> list[OpenWait]:
        return self._waits("waits_of", ord)

    def has_waits(self, ord: int) -> bool:
        return self._db.execute(_SQL["has_waits"], (ord, _FIRST_OWN)).fetchone() is not None

    def put_wait(self, wait: OpenWait) -> None:
        values = (wait.ord, wait.key, rows.pack(wait.wait), wait.due_at_ms, wait.child)
        place = waits.place(wait.wait) or (None, None, None)
        self._db.execute(_SQL["put_wait"], (*values, *place))
        self._paths.pop(place[0] or "", None)

    def drop_wait(self, ord: int, key: str) -> None:
        self._db.execute(_SQL["drop_wait"], (ord, key))

    def wait_paths(self, event: str) -> list[str]:
        paths = self._paths.get(event)
        if paths is None:
            if len(self._paths) >= _NAMES_MAX:
                self._discard_paths()
            found = self._db.execute(_SQL["wait_paths"], {"event": event}).fetchall()
            paths = self._paths[event] = [path for (path,) in found]
        return paths

    def waits_at(self, event: str, path: str, value: bytes) -> list[OpenWait]:
        return self._waits("waits_at", event, path, value)

    def waits_due(self, now_ms: int, limit: int) -> list[OpenWait]:
        return self._waits("waits_due", now_ms, max(0, limit))

    def next_wait_due_at_ms(self) -> int | None:
        row = self._db.execute(_SQL["next_wait_due"]).fetchone()
        return None if row is None else int(row[0])

    def _discard_paths(self) -> None:
        self._paths = {}

    def _waits(self, name: str, *values: object) -> list[OpenWait]:
        return [open_wait(row) for row in self._db.execute(_SQL[name], values).fetchall()]


def open_wait(row: Row) -> OpenWait:
    """Return the wait that was read."""
    ord, key, wait, due_at_ms, child = row
    return OpenWait(ord, key, rows.unpack_wait(wait), due_at_ms, child)
