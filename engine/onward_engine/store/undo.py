"""Dicts and sorted lists whose changes can be taken back."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Undo:
    """The way back from every change since `clear`, newest first.

    Change shared containers only through this. `mark` names a moment, `back_to` returns to it.
    """

    def __init__(self) -> None:
        """Begin with nothing to take back."""
        self._steps: list[Callable[[], object]] = []

    def set(self, into: dict[K, V], key: K, value: V) -> None:
        """Put a value under a key."""
        if key in into:
            self._steps.append(partial(into.__setitem__, key, into[key]))
        else:
            self._steps.append(partial(into.__delitem__, key))
        into[key] = value

    def drop(self, from_: dict[K, V], key: K) -> V | None:
        """Remove a key if it is there, and return its value."""
        if key not in from_:
            return None
        value = from_.pop(key)
        self._steps.append(partial(from_.__setitem__, key, value))
        return value

    def add(self, to: list[Any], item: object) -> None:
        """Insert into a sorted list."""
        insort(to, item)
        self._steps.append(partial(_remove, to, item))

    def remove(self, from_: list[Any], item: object) -> None:
        """Remove from a sorted list."""
        _remove(from_, item)
        self._steps.append(partial(_insert, from_, item))

    def append(self, to: list[V], item: V) -> None:
        """Append to a list."""
        to.append(item)
        self._steps.append(to.pop)

    def mark(self) -> int:
        """Name this moment."""
        return len(self._steps)

    def back_to(self, mark: int) -> None:
        """Take back everything since a moment."""
        while len(self._steps) > mark:
            self._steps.pop()()

    def clear(self) -> None:
        """Make everything up to now final."""
        self._steps.clear()


def _insert(to: list[Any], item: Any) -> None:
    insort(to, item)


def _remove(from_: list[Any], item: Any) -> None:
    del from_[bisect_left(from_, item)]
