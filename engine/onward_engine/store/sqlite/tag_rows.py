"""The words by which people find runs."""

from __future__ import annotations

from collections.abc import Mapping

from .rows import Db
from .statements import statements

_SQL = statements("tags")


class TagRows:
    """Tags by run."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def tags(self, ord: int) -> dict[str, str]:
        return dict(self._db.execute(_SQL["tags"], (ord,)).fetchall())

    def put_tags(self, ord: int, tags: Mapping[str, str]) -> None:
        self._db.executemany(_SQL["put_tag"], [(ord, key, value) for key, value in tags.items()])
