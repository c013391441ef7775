"""Databases from when a run had at most one limit: what executes there keeps its place, and who waits is let in."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from onward_engine.model import Flow, Status
from onward_engine.store.port import Store
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.postgres import opening as postgres_opening
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.sqlite import opening as sqlite_opening
from onward_protocol.messages import AppManifest, ConcurrencyLimit, RunCompleted

from tests.conformance.driver import WORKER, Driver, function
from tests.support.postgres import PostgresServer

WORK = function("work", "asked", concurrency=[ConcurrencyLimit(1, "event.data.k")])
MANIFEST = msgspec.msgpack.encode(AppManifest("shop", "1", (WORK,))).hex()
KEY = "shop/work event.data.k=1"
FLOW = (Flow(f"concurrency {KEY}", "concurrency:0", 1),)

ROWS = f"""
INSERT INTO app (name, manifest) VALUES ('shop', {{blob}});
INSERT INTO run (ord, id, function, flow_key, flow_limit, parent, parent_key, attempt, created_at_ms, events, input)
VALUES (1, 'run_first', 'shop/work', '{KEY}', 1, '', '', 1, 1, {{none}}, {{nil}}),
(2, 'run_second', 'shop/work', '{KEY}', 1, '', '', 1, 1, {{none}}, {{nil}}),
(3, 'run_free', 'shop/work', '', 0, '', '', 1, 1, {{none}}, {{nil}});
INSERT INTO live (ord, {{version}}status, epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, tail,
strikes, holder)
VALUES (1, {{one}}'assigned', 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, '{WORKER}'),
(2, {{one}}'queued', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, ''),
(3, {{one}}'queued', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, '');
INSERT INTO queue (ord, state, rank, due_at_ms, function, flow_key)
VALUES (2, 2, 1, 0, 'shop/work', '{KEY}'), (3, 0, 1, 1, 'shop/work', '');
INSERT INTO place (flow_key, ord) VALUES ('{KEY}', 1);
"""


def old_file(path: Path) -> SqliteStore:
    """Write a file as it was before runs had several limits."""
    with sqlite3.connect(path) as db:
        for script in sqlite_opening._scripts()[:3]:
            db.executescript(script)
        nil = {"blob": f"x'{MANIFEST}'", "none": "x'90'", "nil": "x'c0'"}
        db.executescript(ROWS.format(**nil, version="", one=""))
        db.execute("INSERT INTO meta VALUES ('history', 'old'), ('last_ord', 3)")
        db.execute("PRAGMA user_version = 3")
        db.execute(f"PRAGMA application_id = {sqlite_opening._APPLICATION_ID}")
    db.close()
    return SqliteStore(path)


async def old_database(url: str) -> PostgresStore:
    """Write a database as it was before runs had several limits."""
    db = await asyncpg.connect(url)
    await db.execute("CREATE SCHEMA onward; SET search_path = onward")
    for script in postgres_opening._scripts()[:2]:
        await db.execute(script)
    nil = {"blob": f"decode('{MANIFEST}', 'hex')", "none": "'{}'", "nil": "decode('c0', 'hex')"}
    await db.execute(ROWS.format(**nil, version="version, ", one="1, "))
    await db.execute("INSERT INTO meta VALUES ('history', 'old'), ('schema', '2'); SELECT setval('ord', 3)")
    await db.close()
    return PostgresStore(url)


@pytest.fixture(params=["sqlite", "postgres"])
async def old(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        store: Store = old_file(tmp_path / "onward.db")
        await store.open()
        yield store
        await store.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = await server.create_database()
    store = await old_database(url)
    await store.open()
    yield store
    await store.close()
    await server.drop_database(url)


async def test_runs_keep_their_limit_by_the_key_that_it_has_now(old: Store) -> None:
    driver = Driver(old)
    assert [(await driver.get(id)).flow for id in ("run_first", "run_second", "run_free")] == [FLOW, FLOW, ()]
    [new] = (await driver.send("asked", {"k": 1})).runs
    assert (await driver.get(new)).flow == FLOW


async def test_who_waits_is_let_in_by_the_one_that_executes(old: Store) -> None:
    driver = Driver(old)
    [new] = (await driver.send("asked", {"k": 1})).runs
    assert [one.run.id for one in await driver.claim("work")] == ["run_free"]
    first = await driver.get("run_first")
    await driver.checkpoint(first, 1, outcome=RunCompleted(b"\xc0"))
    [second] = await driver.claim("work")
    assert second.run.id == "run_second"
    await driver.checkpoint(second.run, 1, outcome=RunCompleted(b"\xc0"))
    assert [one.run.id for one in await driver.claim("work")] == [new]
    assert await driver.status(new) is Status.ASSIGNED
