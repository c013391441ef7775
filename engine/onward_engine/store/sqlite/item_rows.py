"""What is kept by name."""

from __future__ import annotations

from msgspec.structs import astuple

from ...model import Item
from .rows import Db
from .statements import statements

_SQL = statements("items")


class ItemRows:
    """Items by owner, kind and name, and by due time."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def item(self, kind: str, owner: str, name: str) -> Item | None:
        row = self._db.execute(_SQL["item"], (owner, kind, name)).fetchone()
        return None if row is None else Item(*row)

    def items(self, kind: str, owner: str) -> list[Item]:
        return [Item(*row) for row in self._db.execute(_SQL["items"], (owner, kind)).fetchall()]

    def items_due(self, now_ms: int, limit: int) -> list[Item]:
        return [Item(*row) for row in self._db.execute(_SQL["items_due"], (now_ms, max(0, limit))).fetchall()]

    def next_item_due_at_ms(self) -> int | None:
        row = self._db.execute(_SQL["next_item_due"]).fetchone()
        return None if row is None else int(row[0])

    def put_item(self, item: Item) -> None:
        self._db.execute(_SQL["put_item"], astuple(item))

    def drop_item(self, kind: str, owner: str, name: str) -> None:
        self._db.execute(_SQL["drop_item"], (owner, kind, name))

    def drop_items(self, owner: str) -> None:
        self._db.execute(_SQL["drop_items"], (owner,))


def read_items(db: Db, kind: str, owner: str, after: str, limit: int) -> list[Item]:
    """Return a page of items, by name."""
    return [Item(*row) for row in db.execute(_SQL["page"], (owner, kind, after, limit)).fetchall()]
