"""Only one engine may have a database open: two would each believe their own memory."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..port import StoreRefused


class FileLock:
    """A lock on `<database>.lock`, held until `release` or until the process is gone, however it goes.

    It is an open transaction on a second SQLite file, because SQLite knows how to lock on every platform.
    """

    def __init__(self, database: Path) -> None:
        """Take the lock, or raise `StoreRefused`."""
        self._db = sqlite3.connect(f"{database}.lock", timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._db.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise StoreRefused(
                f"{database} is in use by another engine. Stop that one, or start this one with a database of its own"
            ) from None

    def release(self) -> None:
        """Let others have it."""
        self._db.close()
