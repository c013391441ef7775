"""The log is copied into the database beside the commits, and does not grow for ever."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from onward_engine.store.sqlite import SqliteStore, wal
from onward_protocol.messages import StepDone

from tests.conformance.driver import Driver, function


def sizes(path: Path) -> tuple[int, int]:
    return path.stat().st_size, Path(f"{path}-wal").stat().st_size


async def test_the_log_is_copied_and_starts_anew_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "_STEP_BYTES", 200_000)
    monkeypatch.setattr(wal, "_RESTART_BYTES", 1_000_000)
    path = tmp_path / "onward.db"
    store = SqliteStore(path)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    run = await driver.running()
    for seq in range(1, 201):
        await driver.checkpoint(run, seq, StepDone("a", bytes(50_000)))
    database_bytes, log_bytes = sizes(path)
    assert database_bytes > 8_000_000
    assert log_bytes < 5_000_000
    assert (await driver.get(run)).steps == 200
    await store.close()


class NoSpace(sqlite3.Connection):
    """A connection on a disk that has space for the log, but for nothing else."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if "wal_checkpoint" in sql:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().execute(sql, *values)


async def test_a_log_that_finds_no_space_to_be_copied_refuses_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "_STEP_BYTES", 10_000)
    monkeypatch.setattr(wal, "open_for_checkpoints", lambda path: sqlite3.connect(path, factory=NoSpace))
    store = SqliteStore(tmp_path / "onward.db")
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    run = await driver.running()
    for seq in range(1, 11):
        assert (await driver.checkpoint(run, seq, StepDone("a", bytes(50_000)))).verdict == "applied"
    await store.close()


async def test_no_commit_waits_for_the_log_to_be_copied(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "onward.db")
    await store.open()
    assert store._connected is not None
    assert store._connected.tables._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    await store.close()


async def test_every_commit_is_flushed_to_the_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "onward.db")
    await store.open()
    connected = store._connected
    assert connected is not None
    db: sqlite3.Connection = connected.tables._db
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()
