"""How often the database is asked for an event that meets gates, or is gathered: not more often than it has locks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from onward_engine.store.port import FireTimers, Ingest
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import (
    BatchRule,
    CancelRule,
    DebounceRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    RunCompleted,
    SingletonRule,
    Trigger,
)

from tests.conformance.driver import Driver

PLAIN = 4
"""Begin with the first locks, read, write, commit."""

OF_RUNS = OF_KEYS = 2
"""The locks of runs and of flow keys, and reading them, once it is known which they are."""


class Asked(Driver):
    """Counts the statements of each batch. Two stores share the database, so that one knows what the other made."""

    store: PostgresStore
    counts: list[int]

    async def asked(self, *ops: Any) -> int:
        connection = self.store._link._connection
        assert connection is not None
        asked = 0

        def count(query: object) -> None:
            nonlocal asked

            del query
            asked += 1

        connection.add_query_logger(count)
        await self.apply(*ops)
        await asyncio.sleep(0)  # the driver counts in the loop's next turn
        connection.remove_query_logger(count)
        return asked

    def telling(self, *numbers: int) -> Ingest:
        return Ingest(self.now, tuple(self.new_event("asked", {"n": n}) for n in numbers))


@pytest.fixture
async def driver(postgres_url: str) -> AsyncIterator[Asked]:
    store = PostgresStore(postgres_url)
    await store.open()
    yield Asked(store)
    await store.close()


async def offered(driver: Asked, **options: Any) -> None:
    await driver.register(FunctionManifest("shop/work", (Trigger("asked"),), **options))
    await driver.apply()  # and the store reads what is registered


@pytest.mark.parametrize(
    "options",
    [
        {"idempotency": IdempotencyRule("event.data.n", 1_000)},
        {"rate_limit": RateRule(2, 1_000)},
        {"rate_limit": RateRule(1, 1_000)},
        {"debounce": DebounceRule(1_000)},
        {"batch": BatchRule(10, 1_000)},
    ],
    ids=["idempotency", "rate", "surplus", "debounce", "batch"],
)
async def test_gates_cost_an_event_nothing_more(driver: Asked, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    assert await driver.asked(driver.telling(1)) == PLAIN
    assert await driver.asked(driver.telling(1)) == PLAIN + (OF_RUNS if {"debounce", "batch"} & set(options) else 0)


async def test_a_newcomer_beside_a_run_of_its_key_costs_the_locks_of_that(driver: Asked) -> None:
    await offered(driver, singleton=SingletonRule(mode="cancel"))
    assert await driver.asked(driver.telling(1)) == PLAIN + OF_KEYS
    assert await driver.asked(driver.telling(2)) == PLAIN + OF_KEYS
    (assignment,) = await driver.claim("work")
    assert await driver.asked(driver.frame(assignment.run, 1, outcome=RunCompleted(b""))) == PLAIN + OF_KEYS


async def test_many_events_that_are_gathered_cost_as_much_as_one(driver: Asked) -> None:
    await offered(driver, debounce=DebounceRule(1_000, "event.data.n"))
    assert await driver.asked(driver.telling(*range(100))) == PLAIN
    assert await driver.asked(driver.telling(*range(100))) == PLAIN + OF_RUNS


async def test_runs_begin_together_when_their_time_has_come(driver: Asked) -> None:
    rule = CancelRule("dropped", ("n",))
    await offered(driver, debounce=DebounceRule(1_000, "event.data.n"), cancel_on=(rule,), start_timeout_ms=5_000)
    await driver.apply(driver.telling(*range(50)))
    driver.now += 1_000
    assert await driver.asked(FireTimers(driver.now)) < 12
    await driver.apply(driver.telling(*range(100, 300)))
    driver.now += 1_000
    assert await driver.asked(FireTimers(driver.now)) < 12  # not four times as often
    assert len(await driver.claim("work", limit=1_000)) == 250


async def test_one_replica_goes_on_with_what_another_gathers(driver: Asked, postgres_url: str) -> None:
    await offered(driver, batch=BatchRule(3, 1_000), cancel_on=(CancelRule("dropped", ("n",)),))
    other = Asked(PostgresStore(postgres_url))
    await other.store.open()
    for n, one in enumerate((driver, other, driver)):
        one.now = driver.now
        await one.apply(
            Ingest(one.now, (msgspec.structs.replace(one.new_event("asked", {"n": n}, id=f"e{n}"), dedup=False),))
        )
    (assignment,) = await other.claim("work")
    assert [event.id for event in assignment.events] == ["e0", "e1", "e2"]
    await other.store.close()
