"""Opening the file: may it be used at all, and does it have the newest schema."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from importlib.resources import files
from pathlib import Path

from ..port import StoreError, StoreFull, StoreRefused
from .errors import describe
from .rows import Db
from .statements import statements

MEMORY = ":memory:"
SEALED = "sealed"
"""The name under which a file that was promoted keeps the history that goes on elsewhere."""

SEALED_FOR = "sealed_for"
"""The name under which it keeps the mark of the database where that is."""

FREE_BYTES_MIN = 16 * 1024 * 1024
"""With less space the engine would stop again within moments; better it says so before it accepts anything."""

BUSY_S = 5.0
"""Patience with another program, such as a backup or a shell, that has the database locked."""

_SQL = statements("events")
_APPLICATION_ID = 0x4F6E7764  # "Onwd", in the header of the file
_JOURNAL_BYTES = 4 * 1024 * 1024  # what the log keeps on disk when it is empty


def open_for_writing(path: str, new_history: Callable[[], str], *, is_sealed_welcome: bool = False) -> Db:
    """Return the writer's connection to a database with the newest schema.

    Raises `StoreError` in words that say what to do, also for a sealed file unless it is welcome.
    """
    try:
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256)
    except sqlite3.Error as error:
        raise explain(path, error) from error
    try:
        _prepare(db, path, new_history)
        if not is_sealed_welcome and _meta(db, SEALED) is not None:
            raise StoreRefused(
                f"{path} was promoted to PostgreSQL, and everything goes on there. Start the engine with that --db"
            )
    except sqlite3.Error as error:
        db.close()
        raise explain(path, error) from error
    except StoreError:
        db.close()
        raise
    return db


def open_for_reading(path: str) -> Db:
    """Return a connection that cannot write."""
    uri = Path(path).absolute().as_uri() + "?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def open_existing(path: Path) -> Db:
    """Return a connection that cannot write to a file that has to be there. Raises `StoreError`."""
    if not path.exists():
        raise StoreRefused(f"there is no database {path}. Name it with --db")
    try:
        with ExitStack() as opened:
            db = opened.enter_context(closing(open_for_reading(str(path))))
            check_owner(db, str(path))
            opened.pop_all()
            return db
    except sqlite3.Error as error:
        raise explain(str(path), error) from error


def sealed_history(path: Path) -> str | None:
    """Return the history of a sealed file; None if it is not sealed. Raises `StoreError`."""
    with closing(open_existing(path)) as db:
        return _meta(db, SEALED)


def sealed_for(path: Path) -> str | None:
    """Return the mark of the database that a sealed file was promoted to. Raises `StoreError`."""
    with closing(open_existing(path)) as db:
        return _meta(db, SEALED_FOR)


def explain(path: str, error: Exception) -> StoreError:
    """Return a failure to open as a sentence for whoever started the engine."""
    if not isinstance(error, sqlite3.Error):
        return StoreRefused(f"{path} cannot be opened: {error}. Check the folder and its permissions")
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return StoreRefused(f"{path} is not a database. Give the engine another path, or move that file away")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"there is no space left for {path}. Free some space and start again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StoreRefused(
                f"{path} cannot be written: {describe(error)}. "
                "The engine's user needs to write both the file and its folder"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreRefused(f"another program is writing {path}. Close it and start again")
        case _:
            return StoreRefused(
                f"{path} cannot be opened: {describe(error)}. Restore it from a copy, or give another path"
            )


def make_room(path: Path) -> None:
    """Create the folder of a database, and see that its disk has space."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise explain(str(path), error) from error
    if free < FREE_BYTES_MIN:
        raise StoreFull(
            f"only {free // 1024:,} KiB are free in {path.parent}; the engine needs {FREE_BYTES_MIN // 1024:,}. "
            "Free some space and start again"
        )


def _prepare(db: Db, path: str, new_history: Callable[[], str]) -> None:
    check_owner(db, path)
    if path != MEMORY and db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreRefused(f"{path} is on a file system without shared memory. Put it on a local disk")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    db.execute("PRAGMA cache_size = -16384")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("BEGIN IMMEDIATE")
    _migrate(db, path, new_history)
    db.execute("COMMIT")


def check_owner(db: Db, path: str) -> None:
    """Raise `StoreRefused` unless the database is an engine's, or empty."""
    is_empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StoreRefused(f"{path} is the database of another program. Give the engine another path")


def _migrate(db: Db, path: str, new_history: Callable[[], str]) -> None:
    """Bring the schema forward, one numbered file after the other.

    There is no way back: an older engine refuses the file.
    """
    scripts = _scripts()
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(scripts):
        raise StoreRefused(
            f"{path} has schema {version}; this engine knows schemas up to {len(scripts)}. "
            "Start the newer Onward that wrote it"
        )
    for number in range(version + 1, len(scripts) + 1):
        for statement in _split(scripts[number - 1]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    if version == 0:
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(_SQL["put_meta"], ("history", new_history()))


def _meta(db: Db, key: str) -> str | None:
    row = db.execute(_SQL["meta"], (key,)).fetchone()
    return None if row is None else str(row[0])


def _scripts() -> list[str]:
    folder = files("onward_engine.store.sqlite").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [folder.joinpath(name).read_text("utf-8") for name in names]


def _split(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
