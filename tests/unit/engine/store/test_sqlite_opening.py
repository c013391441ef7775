"""What an operator reads when a database cannot be opened, and that nothing is harmed by trying."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from onward_engine.store.port import StoreFull, StoreRefused
from onward_engine.store.sqlite import SqliteStore, opening

HOLD = """
import asyncio, sys
from onward_engine.store.sqlite import SqliteStore
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def refusal(path: Path | str) -> str:
    store = SqliteStore(path)
    with pytest.raises(StoreRefused) as caught:
        await store.open()
    await store.close()
    return str(caught.value)


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def test_a_new_file_and_its_folder_are_made(tmp_path: Path) -> None:
    store = await opened(tmp_path / "deep" / "er" / "onward.db")
    assert await store.functions() == []
    await store.close()
    await store.close()


async def test_a_second_engine_on_the_same_file_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path / "onward.db")
    assert "in use by another engine" in await refusal(tmp_path / "onward.db")
    await store.close()
    await (await opened(tmp_path / "onward.db")).close()


async def test_the_file_is_free_again_when_its_engine_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "onward.db"
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLD, str(path), stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    assert "in use by another engine" in await refusal(path)
    holder.kill()
    await holder.wait()
    await (await opened(path)).close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "onward.db"
    path.write_bytes(b"not a database, but dear to somebody" * 100)
    assert "is not a database" in await refusal(path)
    assert path.read_bytes() == b"not a database, but dear to somebody" * 100


async def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "onward.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE run (mine)")
    db.close()
    assert "of another program" in await refusal(path)


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "onward.db"
    await (await opened(path)).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    text = await refusal(path)
    assert "schema 99" in text
    assert "Start the newer Onward" in text


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be written" in await refusal(tmp_path)


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be opened" in await refusal(tmp_path / "file" / "onward.db")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o500)
    assert "needs to write" in await refusal(tmp_path / "onward.db")
    os.chmod(tmp_path, 0o700)


async def test_too_little_space_is_said_before_anything_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES_MIN", 1 << 62)
    with pytest.raises(StoreFull, match="Free some space and start again"):
        await SqliteStore(tmp_path / "onward.db").open()
    assert os.listdir(tmp_path) == []


async def test_another_program_that_writes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    path = tmp_path / "onward.db"
    await (await opened(path)).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    assert "another program is writing" in await refusal(path)
    db.close()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="not open"):
        await SqliteStore(tmp_path / "onward.db").apply([])
