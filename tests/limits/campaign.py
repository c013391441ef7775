"""A campaign: load and kills until so many runs have begun, then the end of all runs, then the verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from onward_engine.store.postgres.upkeep import check as postgres_check
from onward_engine.store.sqlite.upkeep import check as sqlite_check

from tests.chaos.arena import Plan
from tests.limits.arena import LimitsArena
from tests.limits.verdict import Verdict, judge, left_in_postgres, left_in_sqlite

SETTLE_S = 120
PAUSE_S = (0.4, 1.6)
ENGINE_SHARE = 0.3


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    admissions: int
    kills_min: int = 5
    seed: int = 0
    workers: int = 4
    is_postgres: bool = False


async def campaign(order: Order, home: Path) -> Verdict:
    """Play it, in a new folder."""
    engines = 3 if order.is_postgres else 1
    plan = Plan(order.workers, in_flight=0, engines=engines, is_postgres=order.is_postgres)
    arena = LimitsArena(home, order.seed, plan)
    try:
        try:
            await arena.begin()
            await _fight(arena, order)
            stuck = await arena.settle(SETTLE_S)
        finally:
            await arena.end()
        arena.look()
        verdict = judge(arena.lines, arena.deaths_ns)
        verdict.kills += len(arena.kills)
        verdict.problems += [*stuck, *await _left(arena)]
    finally:
        arena.close()
    return verdict


async def _fight(arena: LimitsArena, order: Order) -> None:
    feeding = asyncio.create_task(arena.feed(order.admissions, order.kills_min))
    while not feeding.done():
        await asyncio.wait([feeding], timeout=arena.rng.uniform(*PAUSE_S))
        if not feeding.done():
            await (arena.kill_engine() if arena.rng.random() < ENGINE_SHARE else arena.kill_worker())
    feeding.result()


async def _left(arena: LimitsArena) -> list[str]:
    if arena.settings.postgres:
        return [*await left_in_postgres(arena.settings.postgres), *await postgres_check(arena.settings.postgres)]
    return [*left_in_sqlite(arena.settings.database), *sqlite_check(arena.settings.database)]
