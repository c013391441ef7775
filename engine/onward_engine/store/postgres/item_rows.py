"""What is kept by name, of one batch."""

from __future__ import annotations

from collections.abc import Hashable

from ...model import Item
from . import locks
from .needs import ALL, Need
from .reading import Reading, check_text
from .rows import Rows
from .values import Row

Place = tuple[str, str, str]
Ripe = tuple[int, str, str, str]
_END: Ripe = (ALL, "", "", "")
_RIPE = "ripe"


class ItemRows(Reading):
    """Items by kind, owner and name, and by due time. They are locked by kind and owner."""

    def begin_items(self) -> None:
        """Begin with nothing read."""
        self.item_rows: Rows[Place, Item] = Rows(self.undo, _lists)
        self.item_drops: list[str] = []  # owners that lose everything
        self.locked_items: set[locks.Lock] = set()  # those of kinds and owners whose items nobody else can change now
        self.found_keepers: set[tuple[str, str]] = set()  # in the list of what is due, so that they have to be locked
        self.next_items: list[tuple[int, Place]] = []
        self._ripe_until = -1
        self._ripe_bound = _END

    def item(self, kind: str, owner: str, name: str) -> Item | None:
        self._ask_item(kind, owner, name)
        return self.item_rows.get((kind, owner, name))

    def items(self, kind: str, owner: str) -> list[Item]:
        self.ask("items", (kind, owner))
        return sorted(self.item_rows.grouped((kind, owner)), key=_name)

    def items_due(self, now_ms: int, limit: int) -> list[Item]:
        if self._ripe_until < now_ms:
            self.missing.want("ripe", now_ms, limit)
        ready = sorted((item for item in self.item_rows.grouped(_RIPE) if _ripe(item) <= self._ripe_bound), key=_ripe)
        rows = [item for item in ready if item.due_at_ms is not None and item.due_at_ms <= now_ms][: max(0, limit)]
        if len(rows) < limit and self._ripe_bound != _END:
            covered = self.covered.get(Need("ripe", self._ripe_until), 0)
            self.missing.want("ripe", self._ripe_until, 2 * covered + limit)
        return rows

    def put_item(self, item: Item) -> None:
        check_text(item.kind, item.owner, item.name)
        self.ask("keep", (item.kind, item.owner))
        self._ask_item(item.kind, item.owner, item.name)
        self.item_rows.put((item.kind, item.owner, item.name), item)

    def drop_item(self, kind: str, owner: str, name: str) -> None:
        self.ask("keep", (kind, owner))
        self._ask_item(kind, owner, name)
        self.item_rows.put((kind, owner, name), None)

    def drop_items(self, owner: str) -> None:
        """Nobody asks for the items of one that is gone, so they are neither locked nor read."""
        self.undo.append(self.item_drops, owner)
        for item in [item for item in self.item_rows.all() if item.owner == owner]:
            self.item_rows.put((item.kind, item.owner, item.name), None)

    def next_item_due(self) -> int | None:
        """Return when the next item is due."""
        known = [due for due, place in self.next_items if self._is_item_as_found(place)]
        changed = [item.due_at_ms for item in self.item_rows.grouped(_RIPE) if item.due_at_ms is not None]
        due = min([*known, *changed], default=None)
        limit = self.covered.get(Need("next", ()), 0)
        if len(self.next_items) == limit and (due is None or due > self.next_items[-1][0]):
            self.missing.want("next", (), 4 * limit)
        return due

    def _is_item_as_found(self, place: Place) -> bool:
        if place[1] in self.item_drops:
            return False
        return place not in self.item_rows or self.item_rows.get(place) == self.item_rows.found(place)

    def _ask_item(self, kind: str, owner: str, name: str) -> None:
        if (kind, owner, name) not in self.item_rows and not self.covers("items", (kind, owner)):
            self.ask("item", (kind, owner, name))

    # -- what was read

    def take_items(self, wanted: list[Place], rows: list[Row]) -> None:
        """Note items of owners that are locked."""
        for item in (Item(*row) for row in rows):
            self.item_rows.load((item.kind, item.owner, item.name), item)
        for place in wanted:
            if place not in self.item_rows:
                self.item_rows.load(place, None)

    def take_ripe(self, now_ms: int, limit: int, rows: list[Row]) -> None:
        """Note which items are due; those of owners that are not locked have to be read again."""
        found = [Item(*row) for row in rows]
        for item in found:
            self.found_keepers.add((item.kind, item.owner))
            if locks.of_items(item.kind, item.owner)[0] in self.locked_items:
                self.item_rows.load((item.kind, item.owner, item.name), item)
        self._ripe_until = max(self._ripe_until, now_ms)
        self._ripe_bound = _ripe(found[-1]) if found and len(found) >= limit else _END

    @property
    def ripe(self) -> list[Item]:
        """Return the items that are due, as far as they were read under their locks."""
        return self.item_rows.grouped(_RIPE)

    def kept_item(self, kind: str, owner: str) -> Item | None:
        """Return the nameless item of a kind that somebody owns, as far as it was read."""
        return self.item_rows.get((kind, owner, ""))

    def take_next_items(self, rows: list[Row]) -> None:
        """Note which items are due next."""
        self.next_items = [(due, (kind, owner, name)) for due, kind, owner, name in rows]


def _lists(item: Item) -> tuple[Hashable, ...]:
    return ((item.kind, item.owner), _RIPE) if item.due_at_ms is not None else ((item.kind, item.owner),)


def _name(item: Item) -> str:
    return item.name


def _ripe(item: Item) -> Ripe:
    return item.due_at_ms or 0, item.kind, item.owner, item.name
