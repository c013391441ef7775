"""Lists that the engine gives a page at a time, however many are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias, TypeVar

T = TypeVar("T")

PAGE_MAX = 200

Ask: TypeAlias = Callable[[int, str | None], tuple[Sequence[T], str | None]]
"""Returns a page of at most so many, from a cursor on, and the next one's cursor, if there is a next one."""


def listed(ask: Ask[T], limit: int | None, page_max: int = PAGE_MAX) -> list[T]:
    """Return the first `limit` of a list; None: all of it."""
    return list(islice(_each(ask, min(limit or page_max, page_max)), limit))


def _each(ask: Ask[T], size: int) -> Iterator[T]:
    cursor = None
    while True:
        page, cursor = ask(size, cursor)
        yield from page
        if cursor is None:
            return
