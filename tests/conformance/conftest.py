from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Store
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.sqlite import SqliteStore

from tests.conformance.driver import Driver, function


@pytest.fixture(params=["memory", "sqlite", "sqlite-inline", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqliteStore(tmp_path / "onward.db")
        case "sqlite-inline":
            return SqliteStore(":memory:", inline=True)
        case _:
            return PostgresStore(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def driver(store: Store) -> AsyncIterator[Driver]:
    await store.open()
    driver = Driver(store)
    await driver.register(function("work", "work.asked"), function("child"))
    yield driver
    await store.close()
