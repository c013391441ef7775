"""From a SQLite file to PostgreSQL: everything goes on there, and only there."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.store import promotion
from onward_engine.store.port import Present, RunFilter, StoreRefused
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.promotion import promote, withdraw
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.messages import (
    ConcurrencyLimit,
    EventWait,
    Parked,
    RunCompleted,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import OTHER, Driver, function, held
from tests.support.postgres import PostgresServer

DONE = RunCompleted(b"\xc0")
GRACE_MS = 5_000


async def filled(path: Path, finished: int = 5) -> tuple[Driver, list[Run]]:
    """Return a file's driver and five runs: executing, sleeping, waiting, in line for a place, and over."""
    store = SqliteStore(path)
    await store.open()
    driver = Driver(store)
    one = ConcurrencyLimit(1)
    await driver.register(function("work", "work.asked"), function("narrow", concurrency=[one]))
    for _ in range(finished):
        run = await driver.running()
        await driver.checkpoint(run, 1, StepDone("step#1", bytes(100)), outcome=DONE)
    executing, sleeping, waiting, over = [await driver.running() for _ in range(4)]
    await driver.checkpoint(executing, 1, StepDone("first#1", b"\x01"))
    await driver.checkpoint(sleeping, 1, WaitOpened("pause#1", Sleep(60_000)), outcome=Parked())
    await driver.checkpoint(waiting, 1, WaitOpened("paid#1", EventWait("order.paid")), outcome=Parked())
    await driver.checkpoint(over, 1, StepDone("step#1", b"\x05"), outcome=DONE)
    await driver.running("narrow")
    in_line = await driver.store.run(await driver.start("narrow"))
    assert in_line is not None
    await driver.send("work.asked", {"n": 1}, id="order-7")
    return driver, [executing, sleeping, waiting, in_line, over]


async def promoted(driver: Driver, path: Path, url: str) -> tuple[Driver, list[str]]:
    """Move a closed file; return a driver of the new store, and what was said of each table."""
    said: list[str] = []
    await promote(path, url, now_ms=driver.now, adoption_ms=GRACE_MS, note=said.append)
    store = PostgresStore(url)
    await store.open()
    new = Driver(store)
    new.now = driver.now
    return new, said


async def test_every_run_goes_on_where_it_was(tmp_path: Path, postgres_url: str) -> None:
    old, (executing, sleeping, waiting, in_line, over) = await filled(tmp_path / "onward.db")
    history = (await old.store.steps(over.id)).steps
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    # The worker that executes comes back at the same epoch and repeats nothing.
    executing = await new.get(executing)
    (resumed,) = await new.resume(held(executing))
    assert (resumed.owned, resumed.seq) == (True, 1)
    assert (await new.checkpoint(executing, 2, outcome=DONE, generation=2)).verdict == "applied"
    # Timers fire, events arrive, the line moves on, and what is over reads as before.
    new.now += 60_000
    await new.fire()
    await new.send("order.paid", {"order": 7})
    entries = {a.run.id: a.entries for a in await new.claim("work", "narrow", instance=OTHER)}
    assert b"pause#1" in entries[sleeping.id][0]
    assert b"paid#1" in entries[waiting.id][0]
    assert await new.status(in_line) is Status.QUEUED
    assert (await new.store.steps(over.id)).steps == history
    await new.store.close()


async def test_a_repeated_event_id_gets_its_first_answer_there_too(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    assert (await new.send("work.asked", {"n": 1}, id="order-7")).duplicate
    await new.store.close()


async def test_no_engine_opens_the_file_again(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    with pytest.raises(StoreRefused, match="promoted to PostgreSQL"):
        await SqliteStore(tmp_path / "onward.db").open()
    await new.store.close()


async def test_a_promotion_that_is_repeated_copies_nothing_twice(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    await new.start("work")
    again, said = await promoted(old, tmp_path / "onward.db", postgres_url)
    assert said == []
    await again.store.close()
    await new.store.close()


async def test_a_file_that_an_engine_has_open_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    with pytest.raises(StoreRefused, match="in use by another engine"):
        await promoted(old, tmp_path / "onward.db", postgres_url)
    await old.start("work")
    await old.store.close()


async def test_a_database_with_runs_of_its_own_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    other = PostgresStore(postgres_url)
    await other.open()
    driver = Driver(other)
    await driver.register(function("work"))
    run = await driver.start("work")
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    with pytest.raises(StoreRefused, match="another history"):
        await promoted(old, tmp_path / "onward.db", postgres_url)
    assert await other.run(run) is not None
    await other.close()
    file = SqliteStore(tmp_path / "onward.db")  # not sealed
    await file.open()
    await file.close()


async def test_it_can_be_taken_back_until_an_engine_has_worked_there(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    await new.store.close()
    await withdraw(tmp_path / "onward.db", postgres_url)
    file = SqliteStore(tmp_path / "onward.db")
    await file.open()
    await file.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    assert await new.claim("work")
    with pytest.raises(StoreRefused, match="would lose what it accepted"):
        await withdraw(tmp_path / "onward.db", postgres_url)
    await new.store.close()


async def test_only_the_file_that_was_promoted_can_take_it_back(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    other, _ = await filled(tmp_path / "other.db")
    await other.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    with pytest.raises(StoreRefused, match="was not promoted"):
        await withdraw(tmp_path / "other.db", postgres_url)
    with pytest.raises(StoreRefused, match="another history"):
        await promoted(other, tmp_path / "other.db", postgres_url)
    assert (await new.store.runs(RunFilter())).runs
    await new.store.close()


async def test_a_promoted_file_goes_to_no_second_database_and_is_not_opened_for_one(
    tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    await new.store.close()
    elsewhere = await postgres.borrow()
    try:
        with pytest.raises(StoreRefused, match="promoted to another database"):
            await promoted(old, tmp_path / "onward.db", elsewhere)
        with pytest.raises(StoreRefused, match="promoted to another database"):
            await withdraw(tmp_path / "onward.db", elsewhere)
    finally:
        await postgres.give_back(elsewhere)


async def test_nothing_is_promoted_under_an_engine_that_works(tmp_path: Path, postgres_url: str) -> None:
    old, _ = await filled(tmp_path / "onward.db")
    await old.store.close()
    other = PostgresStore(postgres_url)
    await other.open()
    await other.apply((Present(now_ms=other.clock.wall_ms(), replica="a", dead_ms=5_000),))
    with pytest.raises(StoreRefused, match="an engine works on the new database"):
        await promoted(old, tmp_path / "onward.db", postgres_url)
    await other.close()


async def test_large_rows_are_sent_a_few_at_a_time(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "CHUNK_BYTES", 1_000)
    sizes: list[int] = []
    copy = asyncpg.Connection.copy_records_to_table

    async def measured(connection: Any, table: str, *, records: list[Any], columns: list[str]) -> str:
        sizes.append(len(msgspec.msgpack.encode(records)))
        return await copy(connection, table, records=records, columns=columns)

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", measured)
    old, (executing, *_) = await filled(tmp_path / "onward.db", finished=100)
    await old.store.close()
    new, _ = await promoted(old, tmp_path / "onward.db", postgres_url)
    assert max(sizes) < 40_000
    assert len([size for size in sizes if size > 1_000]) > 10
    assert (await new.get(executing)).seq == 1
    await new.store.close()


async def test_the_target_waits_for_a_file_that_takes_long_to_read(postgres_url: str) -> None:
    async with promotion._target(postgres_url) as connection:
        for patience in ("idle_in_transaction_session_timeout", "statement_timeout"):
            assert await connection.fetchval(f"SHOW {patience}") == "0"


async def test_a_promotion_that_was_killed_is_repeated(tmp_path: Path, postgres_url: str) -> None:
    """Killed when it tells of its second table: the file is sealed by then, and nothing is committed there."""
    path = tmp_path / "onward.db"
    old, (executing, *_) = await filled(path, finished=200)
    await old.store.close()
    command = [sys.executable, "-m", "onward", "engine", "promote", "--db", str(path), "--to", postgres_url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.communicate()
    new, _ = await promoted(old, path, postgres_url)
    assert (await new.get(executing)).status is Status.ORPHANED
    assert len((await new.store.runs(RunFilter(limit=500))).runs) == 207
    await new.store.close()
