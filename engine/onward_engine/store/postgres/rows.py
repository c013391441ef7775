"""Rows in memory: as a batch has found them, and what it makes of them, which can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from ..undo import Undo

K = TypeVar("K")
V = TypeVar("V")

Groups = Callable[[V], tuple[Hashable, ...]]


def _none(row: object) -> tuple[Hashable, ...]:
    del row
    return ()


class Rows(Generic[K, V]):
    """The rows of one table by key. None stands for a row that is known not to be there."""

    def __init__(self, undo: Undo, groups: Groups[V] = _none) -> None:
        """`groups` says under which names `grouped` lists a row."""
        self._undo = undo
        self._groups = groups
        self._found: dict[K, V | None] = {}
        self._now: dict[K, V | None] = {}
        self._grouped: dict[Hashable, dict[K, None]] = {}

    def __contains__(self, key: K) -> bool:
        """Tell whether it is known if there is such a row."""
        return key in self._now

    def load(self, key: K, row: V | None) -> None:
        """Note what the database has; only while nothing is changed."""
        self._regroup(key, self._now.get(key), row)
        self._found[key] = self._now[key] = row

    def get(self, key: K) -> V | None:
        """Return a row as it is now."""
        return self._now.get(key)

    def found(self, key: K) -> V | None:
        """Return a row as it was found."""
        return self._found.get(key)

    def put(self, key: K, row: V | None) -> None:
        """Change, add or (None) delete a row."""
        self._regroup(key, self._now.get(key), row)
        self._undo.set(self._now, key, row)

    def grouped(self, name: Hashable) -> list[V]:
        """Return the rows of a group as they are now, in no order."""
        return [row for key in self._grouped.get(name, ()) if (row := self._now[key]) is not None]

    def all(self) -> list[V]:
        """Return every row that is there now, in no order."""
        return [row for row in self._now.values() if row is not None]

    def names(self) -> list[Hashable]:
        """Return the groups that have a row."""
        return [name for name, keys in self._grouped.items() if keys]

    def changes(self) -> Iterator[tuple[K, V | None, V | None]]:
        """Return key, row found and row now of everything that was changed."""
        for key, now in self._now.items():
            found = self._found.get(key)
            if now is not found and now != found:
                yield key, found, now

    def _regroup(self, key: K, old: V | None, new: V | None) -> None:
        before = self._groups(old) if old is not None else ()
        after = self._groups(new) if new is not None else ()
        if before == after:
            return
        for name in before:
            self._undo.drop(self._grouped[name], key)
        for name in after:
            self._undo.set(self._grouped.setdefault(name, {}), key, None)
