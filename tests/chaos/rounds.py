"""Rounds of kills: each in a fresh folder, with a fresh store, judged when all is over."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from onward.checkpoint import PRESETS
from onward_protocol.limits import Times

from tests.chaos.arena import Arena, Plan
from tests.chaos.verdict import Verdict, judge
from tests.support.link import Direction
from tests.support.proxy import Proxy

SETTLE_S = 40

ZOMBIE_TIMES = Times(beat_ms=250, dead_ms=1_200, lease_ms=1_000, grace_ms=300)
"""Leases of a second."""


@dataclass(frozen=True)
class Kind:
    """One way to break things. `strike` does it once; `pause_s` lies between two of them in one arena."""

    name: str
    strike: Callable[[Arena], Awaitable[None]]
    pause_s: tuple[float, float]
    is_gentle: bool = False
    times: Times = field(default_factory=Times)
    workers: int = 3
    at_once: int = 1
    has_proxies: bool = False
    engines: int = 1
    is_postgres: bool = False


async def _kill_engine(arena: Arena) -> None:
    await arena.kill_engine()


async def _kill_postgres(arena: Arena) -> None:
    await arena.kill_postgres()


async def _kill_worker(arena: Arena) -> None:
    await arena.kill_worker()


async def _zombie(arena: Arena) -> None:
    await arena.pause_worker(arena.rng.uniform(1.3, 2.0))


async def _trouble(arena: Arena) -> None:
    rng = arena.rng
    way = rng.choice(tuple(Direction))
    troubles: list[Callable[[Proxy], object]] = [
        Proxy.reset,
        lambda proxy: proxy.cut(rng.randint(1, 3_000), way),
        lambda proxy: proxy.black_hole(way),
        lambda proxy: proxy.stall(way),
        lambda proxy: proxy.delay(rng.uniform(0.05, 0.4)),
    ]
    await arena.disturb(rng.choice(troubles), rng.choice((rng.uniform(0.05, 0.5), rng.uniform(1.3, 2.0))))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("engine", _kill_engine, (1.15, 1.5), is_gentle=True),
        Kind("postgres", _kill_postgres, (0.5, 1.5), is_gentle=True, engines=2, is_postgres=True),
        Kind("replica", _kill_engine, (0.5, 1.2), is_gentle=True, workers=4, engines=3, is_postgres=True),
        Kind("worker", _kill_worker, (0.1, 0.7), workers=4),
        Kind("zombie", _zombie, (0.0, 0.3), times=ZOMBIE_TIMES, workers=5, at_once=2),
        Kind("network", _trouble, (0.0, 0.3), times=ZOMBIE_TIMES, workers=4, at_once=2, has_proxies=True),
    )
}


@dataclass(slots=True)
class Total:
    """What became of all rounds of a kind."""

    kind: str
    kills: int = 0
    rounds: int = 0
    took_s: float = 0
    verdict: Verdict = field(default_factory=Verdict)

    def add(self, kills: int, verdict: Verdict) -> None:
        """Count a round."""
        total = self.verdict
        self.kills += kills
        self.rounds += 1
        total.problems += verdict.problems
        total.runs += verdict.runs
        total.steps += verdict.steps
        total.executions += verdict.executions
        total.repeated += verdict.repeated
        total.stale += verdict.stale
        total.recoveries_ms += verdict.recoveries_ms


async def campaign(kind: Kind, kills: int, seed: int, folder: Path, *, lanes: int, per_round: int) -> Total:
    """Strike so many times, in several arenas at a time. Stops at the first round in which a promise is broken; its
    folder stays.
    """
    total, began_s, numbers, left = Total(kind.name), time.monotonic(), count(seed), kills

    async def lane() -> None:
        nonlocal left
        while left > 0 and not total.verdict.problems:
            strikes, number = min(per_round, left), next(numbers)
            left -= strikes
            home = folder / f"{kind.name}-{number}"
            verdict = await play(kind, strikes, number, home)
            total.add(strikes, verdict)
            if not verdict.problems:
                shutil.rmtree(home)

    await asyncio.gather(*(lane() for _ in range(lanes)))
    total.took_s = time.monotonic() - began_s
    return total


async def play(kind: Kind, strikes: int, seed: int, home: Path) -> Verdict:
    """Play one round."""
    preset = list(PRESETS)[seed % len(PRESETS)]
    plan = Plan(
        kind.workers,
        preset,
        times=kind.times,
        has_proxies=kind.has_proxies,
        engines=kind.engines,
        is_postgres=kind.is_postgres,
    )
    arena = Arena(home, seed, plan)
    try:
        verdict = await _played(kind, strikes, arena)
    finally:
        arena.close()
    verdict.problems = [f"seed {seed} ({preset}): {problem}" for problem in verdict.problems]
    return verdict


async def _played(kind: Kind, strikes: int, arena: Arena) -> Verdict:
    try:
        await arena.begin()
        await asyncio.gather(*(_strike(kind, arena, strikes, first) for first in range(kind.at_once)))
        stuck = await arena.settle(SETTLE_S)
    finally:
        await arena.end()
    if stuck:
        return Verdict(problems=stuck)
    unacked_max = PRESETS[arena.plan.preset].unacked_max
    return await judge(arena, arena.store(), is_gentle=kind.is_gentle, unacked_max=unacked_max)


async def _strike(kind: Kind, arena: Arena, strikes: int, first: int) -> None:
    for _ in range(first, strikes, kind.at_once):
        await asyncio.sleep(arena.rng.uniform(*kind.pause_s))
        await kind.strike(arena)
