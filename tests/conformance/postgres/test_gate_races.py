"""Several engines take in events of one key at the same moment: they count together, and gather into the same runs."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import RunFilter
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import (
    BatchRule,
    DebounceRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    SingletonRule,
    Trigger,
)

from tests.conformance.driver import Driver

EACH = 20
"""So many events comes each of them with: together they make full batches."""


@pytest.fixture
async def engines(postgres_url: str) -> AsyncIterator[list[Driver]]:
    async with AsyncExitStack() as stack:
        drivers = [Driver(PostgresStore(postgres_url)) for _ in range(3)]
        for number, one in enumerate(drivers, 1):
            await one.store.open()
            stack.push_async_callback(one.store.close)
            one._ids = itertools.count(1_000 * number)
        yield drivers


async def storm(engines: list[Driver], **options: Any) -> list[Run]:
    """Send events of one key, one by one, through all engines at once; return the runs, oldest first."""
    await engines[0].register(FunctionManifest("shop/work", (Trigger("asked"),), **options))

    async def send(engine: Driver) -> list[str]:
        accepted = [await engine.send("asked", {"n": n}) for n in range(EACH)]
        return [run for one in accepted for run in one.runs]

    answers = await asyncio.gather(*map(send, engines))
    assert [len(one) for one in answers] == [EACH] * len(engines)
    runs = (await engines[0].store.runs(RunFilter(function="shop/work", limit=1_000))).runs
    assert {run for one in answers for run in one} == {run.id for run in runs}
    return list(reversed(runs))


def states(runs: list[Run]) -> Counter[Status]:
    return Counter(run.status for run in runs)


async def test_a_rate_is_one_for_all_of_them(engines: list[Driver]) -> None:
    runs = await storm(engines, rate_limit=RateRule(7, 60_000))
    assert states(runs) == {Status.QUEUED: 7, Status.SKIPPED: len(runs) - 7}


async def test_there_is_one_singleton(engines: list[Driver]) -> None:
    runs = await storm(engines, singleton=SingletonRule())
    assert states(runs) == {Status.QUEUED: 1, Status.SKIPPED: len(runs) - 1}


async def test_of_all_newcomers_one_is_left(engines: list[Driver]) -> None:
    runs = await storm(engines, singleton=SingletonRule(mode="cancel"))
    assert states(runs) == {Status.QUEUED: 1, Status.CANCELLED: len(runs) - 1}


async def test_a_key_has_one_run(engines: list[Driver]) -> None:
    assert len(await storm(engines, idempotency=IdempotencyRule("event.name", 60_000))) == 1


async def test_every_event_is_in_one_batch_and_every_batch_is_full(engines: list[Driver]) -> None:
    runs = await storm(engines, batch=BatchRule(5, 60_000))
    assert {len(run.events) for run in runs} == {5}
    assert len({event for run in runs for event in run.events}) == EACH * len(engines)


@pytest.mark.parametrize("deliver", ["last", "all"])
async def test_a_burst_is_one_run(engines: list[Driver], deliver: Literal["last", "all"]) -> None:
    (run,) = await storm(engines, debounce=DebounceRule(10_000, deliver=deliver))
    assert len(run.events) == (1 if deliver == "last" else EACH * len(engines))
    for engine in engines:
        engine.now += 10_000
    await asyncio.gather(*(engine.fire() for engine in engines))
    assert [one.run.id for one in await engines[0].claim("work")] == [run.id]
