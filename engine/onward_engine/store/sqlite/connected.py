"""Everything that an open database consists of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from onward_protocol.limits import Limits, Times

from ..port import Committed, Op, StoreError
from ..work.batch import apply_batch
from . import opening
from .errors import store_error
from .lock import FileLock
from .reads import Reads
from .tables import SqliteTables
from .wal import Checkpoints


class Connected:
    """An open file: the lock, the writer's tables, the reader's connection, and the checkpoints of the log.

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
                self._checkpoints = None if is_inline else Checkpoints(path, db)
                reader = db if is_inline else opening.open_for_reading(path)
            except sqlite3.Error as error:
                raise opening.explain(path, error) from error
            if self._checkpoints:
                undo.callback(reader.close)
                undo.callback(self._checkpoints.close)
            self.reads = Reads(reader)
            self.history = self.reads.history()
            self._close = undo.pop_all()

    def apply(self, ops: Sequence[Op[object]], limits: Limits, times: Times) -> Committed:
        """Apply a batch, and see to the log."""
        committed = apply_batch(self.tables, ops, limits, times)
        if self._checkpoints:
            try:
                self._checkpoints.after_commit()
            except (sqlite3.Error, OSError) as error:
                raise _broken(error) from error
        return committed

    def close(self) -> None:
        """Close everything, the lock last."""
        self._close.close()


def _lock(path: str) -> FileLock:
    try:
        opening.make_room(Path(path))
        return FileLock(Path(path))
    except sqlite3.Error as error:
        raise opening.explain(path, error) from error


def _broken(error: Exception) -> StoreError:
    broken = store_error(error)
    return broken or opening.explain("the write-ahead log", error)
