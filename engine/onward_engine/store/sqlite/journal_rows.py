"""Reading a journal forwards, although its rows lead backwards: from mark to mark."""

from __future__ import annotations

from collections.abc import Iterator

from ..journals import JournalRow
from .rows import Db
from .statements import statements

_SQL = statements("runs")


def journal_rows(db: Db, ord: int, tail: int, after: int = 0) -> Iterator[JournalRow]:
    """Return the rows of a run behind `after`, up to its last one at least. Reads no more than is taken, and one
    stretch between two marks.
    """
    while after < tail:
        mark = db.execute(_SQL["next_mark"], (ord, after)).fetchone()
        last: int = tail if mark is None else mark[0]
        stretch = db.execute(_SQL["stretch"], {"last": last, "after": after}).fetchall()
        yield from map(JournalRow._make, reversed(stretch))
        after = last
