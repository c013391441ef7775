from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Store
from onward_engine.store.sqlite import SqliteStore

from tests.conformance.driver import Driver, function


def make_store(kind: str, folder: Path) -> Store:
    match kind:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqliteStore(folder / "onward.db")
        case _:
            return SqliteStore(":memory:", inline=True)


@pytest.fixture(params=["memory", "sqlite", "sqlite-inline"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    store = make_store(request.param, tmp_path)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work", "work.asked"), function("child"))
    yield driver
    await store.close()
