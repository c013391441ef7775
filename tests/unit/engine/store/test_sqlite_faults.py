"""A full disk is waited out; a failed write is the end until the engine is started again."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from onward_engine.store.port import StartRun, StoreBroken, StoreFull
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.sqlite.connected import Connected
from onward_protocol.messages import StepDone

from tests.conformance.driver import Driver, function


@pytest.fixture(params=[True, False], ids=["inline", "threads"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    store = SqliteStore(tmp_path / "onward.db", inline=request.param)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    yield driver
    await store.close()


def connected(driver: Driver) -> Connected:
    assert isinstance(driver.store, SqliteStore)
    assert driver.store._connected is not None
    return driver.store._connected


@contextmanager
def a_full_disk(driver: Driver) -> Generator[None]:
    db = connected(driver).tables._db
    [(pages,)] = db.execute("PRAGMA page_count")
    db.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        db.execute("PRAGMA max_page_count = 1000000000")


@contextmanager
def failing_writes() -> Generator[None]:
    """No file of this process may grow: the system refuses such a write with an error that is not "no space"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_on_a_full_disk_nothing_of_the_batch_is_stored(driver: Driver) -> None:
    run = await driver.running()
    big = StartRun(driver.now, "run_big", "shop/work", bytes(1_000_000))
    with a_full_disk(driver), pytest.raises(StoreFull, match="Free some space"):
        await driver.apply(driver.frame(run, 1, StepDone("a", b"")), big)
    assert (await driver.get(run)).seq == 0
    assert await driver.store.run("run_big") is None


async def test_with_space_again_the_same_batch_is_stored(driver: Driver) -> None:
    run = await driver.running()
    batch = (driver.frame(run, 1, StepDone("a", b"")), StartRun(driver.now, "run_b", "shop/work", bytes(1_000_000)))
    with a_full_disk(driver), pytest.raises(StoreFull):
        await driver.apply(*batch)
    assert (await driver.apply(*batch))[0].verdict == "applied"
    assert {assignment.run.id for assignment in await driver.claim("work")} == {"run_b"}


async def test_after_a_failed_write_nothing_is_acknowledged_any_more(driver: Driver) -> None:
    run = await driver.running()
    with failing_writes(), pytest.raises(StoreBroken, match="start the engine again"):
        await driver.checkpoint(run, 1, StepDone("a", b"x" * 100_000))
    with pytest.raises(StoreBroken):
        await driver.checkpoint(run, 1, StepDone("a", b""))
    with pytest.raises(StoreBroken):
        await driver.apply()


async def test_an_engine_that_starts_again_goes_on_with_what_is_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "onward.db")
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b""))
    with failing_writes(), pytest.raises(StoreBroken):
        await driver.checkpoint(run, 2, StepDone("b", b"x" * 100_000))
    await store.close()
    again = Driver(SqliteStore(tmp_path / "onward.db"))
    await again.store.open()
    assert (await again.get(run)).seq == 1
    assert (await again.checkpoint(run, 2, StepDone("b", b""))).verdict == "applied"
    await again.store.close()
