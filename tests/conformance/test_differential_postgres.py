"""Random operations once more: a store that reads before and writes after gives the same answers as one in memory."""

from __future__ import annotations

import asyncpg
import pytest
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Register, RunFilter
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import AppManifest

from tests.conformance.test_differential import APP, FLOWS, Chaos, check_that_both_hold_the_same, is_a_bug, is_refused

BATCHES = 120


@pytest.mark.parametrize("app", [APP, FLOWS], ids=["plain", "flows"])
async def test_postgresql_agrees_with_memory(seed: int, app: AppManifest, postgres_url: str) -> None:
    chaos, memory, postgres = Chaos(seed, app), MemoryStore(), PostgresStore(postgres_url)
    await postgres.open()
    numbers = await asyncpg.connect(postgres_url)
    assert not is_refused(await memory.apply([Register(1, app)]))
    await postgres.apply([Register(1, app)])
    for number in range(BATCHES):
        runs = (await memory.runs(RunFilter(limit=60))).runs
        ops = chaos.batch([run for run in runs if not run.status.is_terminal] or runs)
        # A batch may draw more numbers than it uses. Here both have to use the same ones.
        await numbers.execute("SELECT setval('onward.ord', $1, false)", memory._tables._last_ord[""] + 1)
        committed = await postgres.apply(ops)
        assert committed == await memory.apply(ops), (number, ops)
        assert [outcome for outcome in committed.outcomes if is_a_bug(outcome)] == []
        if number == BATCHES // 2:
            await postgres.close()
            postgres = PostgresStore(postgres_url)
            await postgres.open()
    await check_that_both_hold_the_same(memory, postgres)
    await numbers.close()
    await postgres.close()
