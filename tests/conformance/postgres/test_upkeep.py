"""Looking after a PostgreSQL database without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from onward_engine.store.port import StoreRefused
from onward_engine.store.postgres import PostgresStore, upkeep
from onward_protocol.messages import Parked, RunCompleted, Sleep, StepDone, WaitOpened

from tests.conformance.driver import Driver, function
from tests.support.postgres import PostgresServer


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


async def fill(url: str) -> PostgresStore:
    """Return an open store with a run in each situation: queued, assigned, parked and over."""
    store = PostgresStore(url)
    await store.open()
    driver = Driver(store)
    await driver.register(function("work"))
    runs = [await driver.running() for _ in range(3)]
    await driver.checkpoint(runs[1], 1, WaitOpened("pause#1", Sleep(60_000)), outcome=Parked())
    await driver.checkpoint(runs[2], 1, StepDone("step#1", b"\x01"), outcome=RunCompleted(b"\xc0"))
    await driver.start("work")
    return store


@pytest.fixture
async def new_url(postgres: PostgresServer) -> AsyncIterator[str]:
    url = await postgres.create_database()
    yield url
    await postgres.drop_database(url)


async def test_a_healthy_database_has_no_problems_while_an_engine_is_at_work(postgres_url: str) -> None:
    store = await fill(postgres_url)
    assert await upkeep.check(postgres_url) == []
    await store.close()


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM onward.queue", "nobody will claim"),
        ("UPDATE onward.live SET holder = '' WHERE status = 'assigned'", "assigned to nobody"),
        ("DELETE FROM onward.wait", "parked without a wait"),
        ("DELETE FROM onward.ended", "neither alive nor over"),
        ("DELETE FROM onward.live WHERE status = 'queued'", "queued without being alive"),
        ("DELETE FROM onward.live WHERE status = 'parked'", "waiting without being alive"),
        ("INSERT INTO onward.place VALUES ('key', 999)", "place of nobody"),
    ],
)
async def test_what_no_engine_would_ever_move_is_found(
    postgres: PostgresServer, postgres_url: str, damage: str, found: str
) -> None:
    await (await fill(postgres_url)).close()
    await postgres.execute(damage, name_of(postgres_url))
    assert any(problem.startswith(found) for problem in await upkeep.check(postgres_url))


async def test_a_server_that_may_forget_is_a_problem(postgres: PostgresServer, new_url: str) -> None:
    await upkeep.migrate(new_url)
    await postgres.execute(f"ALTER DATABASE {name_of(new_url)} SET synchronous_commit = off")
    (problem,) = await upkeep.check(new_url)
    assert "synchronous_commit off" in problem


async def test_migrating_makes_the_schema_that_an_engine_starts_on(new_url: str) -> None:
    before, now = await upkeep.migrate(new_url)
    assert (before, await upkeep.migrate(new_url)) == (0, (now, now))
    await (await fill(new_url)).close()
    assert await upkeep.check(new_url) == []


async def test_what_is_no_engines_database_is_not_checked(postgres: PostgresServer, new_url: str) -> None:
    with pytest.raises(StoreRefused, match="not the database of an engine"):
        await upkeep.check(new_url)
    await upkeep.migrate(new_url)
    await postgres.execute("UPDATE onward.meta SET value = '99' WHERE key = 'schema'", name_of(new_url))
    with pytest.raises(StoreRefused, match="has schema 99"):
        await upkeep.check(new_url)


@pytest.mark.parametrize("password", ["s3cret", "5/s3cret", "s3/cret", "s3?cret", "s3#cret", "5?cret", "s3@cret"])
async def test_no_error_shows_a_password_or_a_part_of_one(password: str) -> None:
    for ask in (upkeep.check, upkeep.migrate):
        with pytest.raises(StoreRefused) as caught:
            await ask(f"postgresql://me:{password}@127.0.0.1:1/shop")
        assert not any(part in str(caught.value) for part in ("s3", "cret", "me:"))
