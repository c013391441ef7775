"""Everything that an open database consists of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from onward_protocol.limits import Limits, Times

from ..port import Committed, Op
from ..work.batch import apply_batch
from . import opening
from .lock import FileLock
from .reads import Reads
from .tables import SqliteTables


class Connected:
    """An open file: the lock, the writer's tables, and the reader's connection.

    The write-ahead log is copied into the database by SQLite itself, a thousand pages at a time, at the end of the
    commit that fills it. A log that is never emptied grows, and appending to a growing file made every commit slower
    than this copying does.

    `apply` and `close` belong to the writer's thread, `reads` to the reader's.
    """

    def __init__(self, path: str, *, is_inline: bool, new_history: Callable[[], str]) -> None:
        """Open it, or raise `StoreError`; then nothing stays open."""
        with ExitStack() as undo:
            if path != opening.MEMORY:
                self._lock = _lock(path)
                undo.callback(self._lock.release)
            db = opening.open_for_writing(path, new_history)
            undo.callback(db.close)
            try:
                self.tables = SqliteTables(db)
                reader = db if is_inline else opening.open_for_reading(path)
            except sqlite3.Error as error:
                raise opening.explain(path, error) from error
            if not is_inline:
                undo.callback(reader.close)
            self.reads = Reads(reader)
            self.history = self.reads.history()
            self._close = undo.pop_all()

    def apply(self, ops: Sequence[Op[object]], limits: Limits, times: Times) -> Committed:
        """Apply a batch."""
        return apply_batch(self.tables, ops, limits, times)

    def copy_log(self) -> None:
        """Copy the log into the database now, as far as no reader needs it."""
        self.tables.copy_log()

    def close(self) -> None:
        """Close everything, the lock last."""
        self._close.close()


def _lock(path: str) -> FileLock:
    try:
        opening.make_room(Path(path))
        return FileLock(Path(path))
    except sqlite3.Error as error:
        raise opening.explain(path, error) from error
