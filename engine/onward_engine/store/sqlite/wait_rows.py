"""Open waits."""

from __future__ import annotations

from onward_protocol.messages import EventWait

from ...rules import waits
from ..tables import CLEANUP_KEY, OpenWait
from . import rows
from .rows import Db, Row
from .statements import statements

_SQL = statements("waits")
_NAMES_MAX = 1_000


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
        return self._db.execute(_SQL["has_waits"], (ord, CLEANUP_KEY)).fetchone() is not None

    def put_wait(self, wait: OpenWait) -> None:
        values = (wait.ord, wait.key, rows.pack(wait.wait), wait.due_at_ms, wait.child)
        address = _address(wait)
        self._db.execute(_SQL["put_wait"], (*values, *address))
        self._paths.pop(address[0] or "", None)

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
        return [_wait(row) for row in self._db.execute(_SQL[name], values).fetchall()]


def _wait(row: Row) -> OpenWait:
    ord, key, wait, due_at_ms, child = row
    return OpenWait(ord, key, rows.unpack_wait(wait), due_at_ms, child)


def _address(wait: OpenWait) -> tuple[str | None, str | None, bytes | None]:
    if not isinstance(wait.wait, EventWait):
        return None, None, None
    return wait.wait.event, *waits.address(wait.wait)
