"""The same program of flow control on every store: whoever keeps the queues, the same runs begin, in the same order, at
the same moments.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from onward_engine.store.port import RunFilter, Store
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.postgres.upkeep import check as postgres_check
from onward_engine.store.sqlite import SqliteStore
from onward_engine.store.sqlite.upkeep import check as sqlite_check

from tests.support.flow_programs import Program, normalised
from tests.support.postgres import PostgresServer


async def differences(program: Program, stores: Sequence[Store]) -> list[str]:
    """Play a program on stores that share their data, each part on one of them; return where it went another way."""
    rng = Random(program.seed)
    for batch in program.batches():
        committed = await rng.choice(stores).apply([deed.op for deed in batch])
        for deed, outcome in zip(batch, committed.outcomes, strict=True):
            if normalised(outcome) != normalised(deed.outcome):
                return [f"{deed.op}: {normalised(outcome)}, not {normalised(deed.outcome)}"]
    page = await stores[0].runs(RunFilter(limit=10_000))
    return [f"{run.id} is {run.status}" for run in page.runs if not run.status.is_terminal]


async def on_sqlite(program: Program, folder: Path) -> list[str]:
    """Play a program on a new file; return what was wrong."""
    path = folder / f"{program.seed}.db"
    async with _opened([SqliteStore(path, inline=True)]) as stores:
        problems = await differences(program, stores)
    problems += sqlite_check(path)
    return problems


async def on_postgres(program: Program, server: PostgresServer, replicas: int) -> list[str]:
    """Play a program on an empty database with so many replicas; return what was wrong."""
    url = await server.borrow()
    async with _opened([PostgresStore(url) for _ in range(replicas)]) as stores:
        problems = await differences(program, stores)
    problems += await postgres_check(url)
    await server.give_back(url)
    return problems


@asynccontextmanager
async def _opened(stores: Sequence[Store]) -> AsyncGenerator[Sequence[Store]]:
    for store in stores:
        await store.open()
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()
