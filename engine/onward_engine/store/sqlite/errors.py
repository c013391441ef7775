"""What an error of SQLite means: a full disk, a broken store, or only a value that cannot be stored."""

from __future__ import annotations

import sqlite3

from ..port import StoreBroken, StoreError, StoreFull

_OF_ONE_VALUE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_TOO_BIG = sqlite3.SQLITE_TOOBIG

FULL = (
    "there is no space left for the database; nothing of this was stored. Free some space: the engine goes on by itself"
)


def store_error(error: Exception) -> StoreError | None:
    """Tell what an error means for the whole store; None if only the operation that caused it is to blame.

    A failed write or flush is the end: SQLite cannot say which pages have reached the disk, and going on lost data in
    one of ten trials.
    """
    if isinstance(error, MemoryError):
        return StoreBroken("the engine has no memory left to write its database; start it again")
    if not isinstance(error, sqlite3.Error) or isinstance(error, _OF_ONE_VALUE):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == _TOO_BIG:
        return None
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return StoreFull(FULL)
    return StoreBroken(
        f"the database cannot be written any more: {describe(error)}. Nothing is acknowledged from now on. "
        "Check the disk, then start the engine again: it goes on with what is really stored"
    )


def describe(error: sqlite3.Error) -> str:
    """Return SQLite's own words and the name of its error."""
    return f"{error} ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})"
