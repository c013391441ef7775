"""Moving finished pages from the write-ahead log into the database, beside the commits instead of within them."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

from ..port import StoreFull
from .errors import store_error
from .lane import ThreadLane
from .opening import open_for_checkpoints
from .rows import Db

_log = logging.getLogger("onward.store")

_STEP_BYTES = 4 * 1024 * 1024  # SQLite's own default: less often is slower to read, more often writes pages twice
_RESTART_BYTES = 64 * 1024 * 1024


class Checkpoints:
    """Copies the log whenever it has grown by a step, on a thread and a connection of its own.

    While commits go on, that alone never catches up, and the log can only start anew when nothing is left to copy.
    So when it has become large, the writer copies the short rest itself.
    """

    def __init__(self, path: str, writer: Db) -> None:
        """Watch the log of `path`. From now on the writer's commits copy nothing by themselves."""
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        self._path = path
        self._log_path = f"{path}-wal"
        self._writer = writer
        self._lane = ThreadLane("onward-checkpoints")
        self._next_bytes = _STEP_BYTES
        self._is_running = False
        self.error: sqlite3.Error | None = None

    def after_commit(self) -> None:
        """Look at the log; on the writer's thread. Raises what went wrong on the other thread since the last call."""
        if self.error is not None:
            raise self.error
        size = os.stat(self._log_path).st_size
        if self._is_running or size < self._next_bytes:
            return
        if size >= _RESTART_BYTES and self._next_bytes > _STEP_BYTES:
            _copy(self._writer)
            self._next_bytes = _STEP_BYTES
            return
        self._is_running = True
        self._next_bytes = size + _STEP_BYTES
        self._lane.post(self._run)

    def close(self) -> None:
        """Wait for what is running."""
        self._lane.close()

    def _run(self) -> None:
        try:
            with closing(open_for_checkpoints(self._path)) as db:
                _copy(db)
        except sqlite3.Error as error:
            _log.exception("checkpoint failed")
            self.error = error
        finally:
            self._is_running = False


def _copy(db: Db) -> None:
    """Copy what can be copied without waiting for anybody.

    On a full disk the log only grows on: what it holds is safe, and the commit that finds no space itself says so.
    """
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        if not isinstance(store_error(error), StoreFull):
            raise
        _log.warning("no space to copy the log into the database")
