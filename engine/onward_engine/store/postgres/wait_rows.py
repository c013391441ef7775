"""Open waits, of one batch."""

from __future__ import annotations

from collections.abc import Hashable

from onward_protocol.messages import EventWait

from ...rules import waits
from ...rules.watches import is_reserved
from ..tables import OpenWait
from . import values
from .needs import ALL, Need
from .reading import Reading, check_text
from .rows import Rows
from .values import Row

Due = tuple[int, int, str]
_END: Due = (ALL, ALL, "")
_DUE = "due"


class WaitRows(Reading):
    """Waits by run and key, by due time, and by what an event must be to end them."""

    def begin_waits(self) -> None:
        """Begin with nothing read."""
        self.waits: Rows[tuple[int, str], OpenWait] = Rows(self.undo, _lists)
        self._paths: dict[str, set[str]] = {}
        self._some: set[int] = set()
        self._due_until = -1
        self._due_bound = _END
        self.due_waits: list[int] = []  # runs with waits that are due, and that are not locked
        self.next_waits: list[Due] = []

    def wait(self, ord: int, key: str) -> OpenWait | None:
        self._ask_wait(ord, key)
        return self.waits.get((ord, key))

    def waits_of(self, ord: int) -> list[OpenWait]:
        if not self._is_new(ord):
            self.ask("waits", ord)
        return sorted(self.waits.grouped(("of", ord)), key=_key)

    def has_waits(self, ord: int) -> bool:
        if self._is_new(ord) or self.covers("waits", ord) or self.ask("some_wait", ord):
            known = self.waits.grouped(("of", ord))
            if any(not is_reserved(wait.key) for wait in known):
                return True
            if ord in self._some:  # the one that was read is over by now
                self.ask("waits", ord)
        return False

    def put_wait(self, wait: OpenWait) -> None:
        check_text(wait.key, wait.child)
        self.is_locked(wait.ord)
        self._ask_wait(wait.ord, wait.key)
        if isinstance(wait.wait, EventWait):
            self.ask("opens", wait.wait.event)
            path, _ = waits.address(wait.wait)
            check_text(wait.wait.event, path)
            self._paths.setdefault(wait.wait.event, set()).add(path)
        self.waits.put((wait.ord, wait.key), wait)

    def drop_wait(self, ord: int, key: str) -> None:
        self.is_locked(ord)
        self._ask_wait(ord, key)
        self.waits.put((ord, key), None)

    def wait_paths(self, event: str) -> list[str]:
        self.ask("paths", event)
        return sorted(self._paths.get(event, ()))

    def waits_at(self, event: str, path: str, value: bytes) -> list[OpenWait]:
        self.ask("at", (event, path, value))
        return sorted(self.waits.grouped(("at", event, path, value)), key=_place)

    def waits_due(self, now_ms: int, limit: int) -> list[OpenWait]:
        if self._due_until < now_ms:
            self.missing.want("due", now_ms, limit)
        ready = sorted((wait for wait in self.waits.grouped(_DUE) if _due(wait) <= self._due_bound), key=_due)
        rows = [wait for wait in ready if wait.due_at_ms is not None and wait.due_at_ms <= now_ms][: max(0, limit)]
        if len(rows) < limit and self._due_bound != _END:
            self.missing.want("due", self._due_until, 2 * self.covered.get(Need("due", self._due_until), 0) + limit)
        return rows

    def next_wait_due(self) -> int | None:
        """Return when the next wait is due."""
        known = [due for due, ord, key in self.next_waits if self._is_wait_as_found(ord, key)]
        changed = [wait.due_at_ms for wait in self.waits.grouped(_DUE) if wait.due_at_ms is not None]
        due = min([*known, *changed], default=None)
        limit = self.covered.get(Need("next", ()), 0)
        if len(self.next_waits) == limit and (due is None or due > self.next_waits[-1][0]):
            self.missing.want("next", (), 4 * limit)
        return due

    def _is_wait_as_found(self, ord: int, key: str) -> bool:
        return (ord, key) not in self.waits or self.waits.get((ord, key)) == self.waits.found((ord, key))

    def _ask_wait(self, ord: int, key: str) -> None:
        if (ord, key) not in self.waits and not self._is_new(ord) and not self.covers("waits", ord):
            self.ask("wait", (ord, key))

    def _is_new(self, ord: int) -> bool:
        raise NotImplementedError

    def known_paths(self, event: str) -> set[str]:
        """Return the paths of waits for an event name, as far as they were read."""
        return self._paths.get(event, set())

    # -- what was read

    def take_waits(self, wanted: list[tuple[int, str]], rows: list[Row]) -> None:
        """Note waits of runs that are locked; others have to be locked first."""
        for wait in map(values.open_wait, rows):
            if wait.ord in self.locked:
                self.waits.load((wait.ord, wait.key), wait)
            else:
                self.found_runs.add(wait.ord)
        for place in wanted:
            if place not in self.waits:
                self.waits.load(place, None)

    def take_some(self, rows: list[Row]) -> None:
        """Note one wait of each run that has any."""
        self.take_waits([], rows)
        self._some.update(row[0] for row in rows)

    def take_paths(self, rows: list[Row]) -> None:
        """Note under which paths waits for an event name stand."""
        for event, path in rows:
            self._paths.setdefault(event, set()).add(path)

    def take_due(self, now_ms: int, limit: int, rows: list[Row]) -> None:
        """Note which waits are due; what is not locked is not ours to end."""
        found = [values.open_wait(row) for row in rows]
        for wait in found:
            if wait.ord in self.locked:
                self.waits.load((wait.ord, wait.key), wait)
            self.found_ids.update([wait.child] if wait.child else [])
        self.due_waits = [wait.ord for wait in found if wait.ord not in self.locked]
        self._due_until = max(self._due_until, now_ms)
        self._due_bound = _due(found[-1]) if found and len(found) >= limit else _END

    def take_next_waits(self, rows: list[Row]) -> None:
        """Note which waits are due next."""
        self.next_waits = [(due, ord, key) for due, ord, key in rows]


def _lists(wait: OpenWait) -> tuple[Hashable, ...]:
    lists: list[Hashable] = [("of", wait.ord)]
    if wait.due_at_ms is not None:
        lists.append(_DUE)
    if place := waits.place(wait.wait):
        lists.append(("at", *place))
    return tuple(lists)


def _key(wait: OpenWait) -> str:
    return wait.key


def _place(wait: OpenWait) -> tuple[int, str]:
    return wait.ord, wait.key


def _due(wait: OpenWait) -> Due:
    return wait.due_at_ms or 0, wait.ord, wait.key
