"""The words by which people find runs, of one batch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from .reading import Reading, check_text
from .rows import Rows
from .values import Row


class Tag(NamedTuple):
    """One word of a run."""

    ord: int
    key: str
    value: str


class TagRows(Reading):
    """Tags by run, which is locked."""

    def begin_tags(self) -> None:
        """Begin with nothing read."""
        self.tag_rows: Rows[tuple[int, str], Tag] = Rows(self.undo, _lists)

    def tags(self, ord: int) -> dict[str, str]:
        self.ask("tags", ord)
        return {tag.key: tag.value for tag in sorted(self.tag_rows.grouped(ord))}

    def put_tags(self, ord: int, tags: Mapping[str, str]) -> None:
        self.is_locked(ord)
        for key, value in tags.items():
            check_text(key, value)
            self.tag_rows.put((ord, key), Tag(ord, key, value))

    # -- what was read

    def take_tags(self, rows: list[Row]) -> None:
        """Note the tags of runs."""
        for tag in (Tag(*row) for row in rows):
            self.tag_rows.load((tag.ord, tag.key), tag)


def _lists(tag: Tag) -> tuple[Hashable, ...]:
    return (tag.ord,)
