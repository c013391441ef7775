"""Which databases are taken, and what is said about the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from onward_engine.store.port import StoreBroken, StoreRefused
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.postgres.opening import explain

from tests.conformance.driver import Driver, function
from tests.support.postgres import OLDEST, PostgresServer
from tests.support.processes import free_port

SECRET = "postgresql://me:s3cret@db.example:6000/shop"


@pytest.fixture
async def new_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """A database that no engine has seen."""
    url = await postgres.create_database()
    yield url
    await postgres.drop_database(url)


async def refusal(url: str) -> str:
    with pytest.raises(StoreRefused) as caught:
        await PostgresStore(url).open()
    return str(caught.value)


async def history(url: str) -> str:
    store = PostgresStore(url)
    await store.open()
    await store.close()
    return store.history


async def test_a_server_that_is_not_there(postgres: PostgresServer) -> None:
    said = await refusal(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/shop")
    assert "the database shop at 127.0.0.1" in said
    assert "Is the server running" in said


async def test_a_database_that_is_not_there(postgres: PostgresServer) -> None:
    assert "CREATE DATABASE nowhere" in await refusal(postgres.url("nowhere"))


@pytest.mark.parametrize("url", ["postgresql://me@host:port/x", "postgresql://me@127.0.0.1:1/x?sslmode=much"])
async def test_an_address_that_is_none(url: str) -> None:
    assert "Write it like postgresql://" in await refusal(url)


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_a_database_that_may_forget_what_it_acknowledged(
    postgres: PostgresServer, new_url: str, setting: str
) -> None:
    await postgres.execute(f"ALTER DATABASE {new_url.rpartition('/')[2]} SET {setting} = off")
    assert f"{setting} off" in await refusal(new_url)


async def test_a_newer_schema(postgres: PostgresServer, new_url: str) -> None:
    await history(new_url)
    await postgres.execute("UPDATE onward.meta SET value = '99' WHERE key = 'schema'", new_url.rpartition("/")[2])
    assert "has schema 99" in await refusal(new_url)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("no such database"),
        asyncpg.InsufficientPrivilegeError("permission denied"),
        asyncpg.ClientConfigurationError("invalid DSN"),
        ConnectionRefusedError("refused"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_sentence_tells_the_password(error: Exception) -> None:
    said = str(explain(SECRET, error))
    assert "the database shop at db.example:6000" in said
    assert "s3cret" not in said


async def test_engines_that_start_together_make_one_schema(new_url: str) -> None:
    assert len(set(await asyncio.gather(*(history(new_url) for _ in range(4))))) == 1


async def test_the_name_of_a_history_stays(new_url: str, postgres_url: str) -> None:
    first = await history(new_url)
    assert await history(new_url) == first
    assert await history(postgres_url) != first


async def test_a_database_that_was_replaced_meanwhile_is_not_used(postgres: PostgresServer, new_url: str) -> None:
    store = PostgresStore(new_url)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    name = new_url.rpartition("/")[2]
    await postgres.drop_database(new_url)
    await postgres.create_database(name=name)
    await history(new_url)
    with pytest.raises(StoreBroken, match="another database than before"):
        await driver.start("work")
    with pytest.raises(StoreBroken):
        await driver.start("work")
    await store.close()


async def test_its_tables_stand_apart_from_those_of_others(postgres: PostgresServer, new_url: str) -> None:
    await postgres.execute("CREATE TABLE run (mine int)", new_url.rpartition("/")[2])
    await history(new_url)


async def test_the_clock_is_that_of_the_database(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)
    before = store.clock.wall_ms()
    await store.open()
    connection: Any = await asyncpg.connect(postgres_url)
    server_ms = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    await connection.close()
    assert abs(store.clock.wall_ms() - server_ms) < 1_000
    assert before <= store.clock.wall_ms() <= store.clock.wall_ms()
    await store.close()


async def test_the_oldest_server_that_is_tried_does_it_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = PostgresServer(tmp_path_factory.mktemp("oldest"), OLDEST)
    await asyncio.to_thread(server.start)
    try:
        store = PostgresStore(await server.create_database())
        await store.open()
        driver = Driver(store)
        await driver.register(function("work", "asked"))
        await driver.send("asked")
        assert len(await driver.claim("work")) == 1
        await store.close()
    finally:
        server.stop()
