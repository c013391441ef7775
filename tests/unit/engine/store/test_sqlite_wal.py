"""The write-ahead log: flushed at every commit, and bounded however much is written."""

import sqlite3
from pathlib import Path

from onward_engine.store.sqlite import SqliteStore
from onward_protocol.messages import StepDone

from tests.conformance.driver import Driver, function


def log_bytes(folder: Path) -> int:
    return (folder / "onward.db-wal").stat().st_size


async def test_the_log_stays_small_however_much_is_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "onward.db")
    driver = Driver(store)
    await store.open()
    await driver.register(function("work"))
    run = await driver.running()
    for seq in range(1, 101):
        await driver.checkpoint(run, seq, StepDone("a", bytes(300_000)))
    assert log_bytes(tmp_path) < 12_000_000  # of 30 MB
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
