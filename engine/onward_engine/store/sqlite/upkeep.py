"""Looking after a database file without an engine: bring it forward, copy it, check it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from ..checks import CHECKS, problems
from ..port import StoreRefused
from . import opening
from .errors import describe
from .lock import FileLock
from .rows import Db

_COPIED_PAGES = 1_000  # between two looks at the lock: 4 MB, so that an engine at work hardly notices


def migrate(path: Path) -> tuple[int, int]:
    """Bring the schema of a stopped engine's file forward; return the number that it had and the one that it has.

    Raises `StoreError`, also while an engine has the file.
    """
    before = _version(path)
    lock = FileLock(path)
    try:
        db = opening.open_for_writing(str(path), lambda: secrets.token_hex(16))
        db.close()
    finally:
        lock.release()
    return before, _version(path)


def backup(path: Path, to: Path) -> int:
    """Copy the database as it is at one moment, also while an engine works on it; return the bytes of the copy.

    The copy appears under its name only when it is whole and on disk. Raises `StoreError`.
    """
    if to.exists():
        raise StoreRefused(f"{to} exists already, and a backup replaces nothing. Give the copy another name")
    part = to.with_name(f"{to.name}.part")
    try:
        part.unlink(missing_ok=True)
        with closing(opening.open_existing(path)) as source, closing(sqlite3.connect(part)) as target:
            _stay_at_this_moment(source)
            source.backup(target, pages=_COPIED_PAGES)
            target.execute("PRAGMA journal_mode = DELETE")
        _sync(part)
        part.rename(to)
        _sync(to.parent)
    except (sqlite3.Error, OSError) as error:
        raise opening.explain(str(part), error) from error
    return to.stat().st_size


def check(path: Path) -> list[str]:
    """Return what is wrong with a database, a sentence each: damage, and runs that nobody would ever move.

    Reads one moment's state; an engine may work on it. Raises `StoreError` if it is no database of an engine.
    """
    with closing(opening.open_existing(path)) as db:
        db.execute("BEGIN")
        try:
            damage = [row[0] for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
            return damage or [line for name, sql in CHECKS.items() for line in problems(name, db.execute(sql))]
        except sqlite3.DatabaseError as error:
            return [f"cannot be read: {describe(error)}"]


def _stay_at_this_moment(source: Db) -> None:
    """Without it, SQLite copies from the beginning again after each commit of the engine, and never comes to an end."""
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM sqlite_master").fetchone()


def _version(path: Path) -> int:
    with closing(opening.open_existing(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
