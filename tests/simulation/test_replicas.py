"""Several engines on one store while everything breaks that may break: engines die, stand still, cannot reach the
store, do not hear each other. A seed decides; what holds for one engine holds for many.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from tests.support.fleet import GENTLE_WITH_REPLICAS, WILD_WITH_REPLICAS, Fleet, FleetChaos
from tests.support.history import History
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.world import PASSES_MAX, Result, World

SEEDS_MAX = 300

REQUIRED = {
    *itertools.product(
        ("replica killed", "replica killed before commit", "replica killed after commit", "replica left"),
        ("assigned", "parked"),
    ),
    *itertools.product(("replica dozed", "replica stood still", "replica isolated"), ("assigned", "parked")),
    *itertools.product(("bus poor", "replica deaf"), ("assigned", "parked")),
}

marks_of: dict[int, Counter[str]] = {}

pytestmark = pytest.mark.usefixtures("quiet_logs")


class Office(World):
    """A world with two engines, or more."""

    cluster_type = Fleet
    chaos_type = FleetChaos
    gentle = GENTLE_WITH_REPLICAS
    wild = WILD_WITH_REPLICAS
    is_shared = True

    async def _begin(self) -> None:
        self._cluster.start_engine()
        await super()._begin()

    async def _found(self, history: History) -> list[str]:
        """Look when no sweep has a slot in its hand."""
        engines = [process.engine for process in self._cluster.engines if process.engine is not None]
        while not all(engine.committer.is_idle for engine in engines):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(0.001)
        return await super()._found(history)


def play(seed: int) -> Result:
    async def main(network: Network) -> Result:
        return await Office(seed, network, None).live()

    result = simulate(main, seed=seed, shuffle=True, passes_max=2 * PASSES_MAX)
    marks_of[seed] = result.marks
    return result


def test_nothing_acknowledged_is_lost_or_repeated_whatever_happens_to_one_of_several_engines(seed: int) -> None:
    violations = play(seed).violations
    again = f"pytest tests/simulation/test_replicas.py -s -k 'several and [{seed}]' --seeds {seed + 1}"
    assert not violations, "\n".join([*violations, f"again: {again}"])


def test_a_seed_with_several_engines_repeats_to_the_byte() -> None:
    assert play(1).fingerprint == play(1).fingerprint


def test_the_faults_of_several_engines_have_met_every_state_that_matters() -> None:
    wanted = {f"{fault} x {state}" for fault, state in REQUIRED}
    for seed in range(SEEDS_MAX):
        if seed not in marks_of:
            play(seed)
        wanted -= set(marks_of[seed])
        if not wanted:
            return
    assert not wanted, f"no seed below {SEEDS_MAX} has met {sorted(wanted)}"
