"""The whole product - engines, workers, a client, all of them the real ones - while everything breaks that may break.

A seed decides the programs, the conditions, the faults and their moments. Every fifth one keeps its runs in SQLite.
"""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from tests.support.world import Result, live

SEEDS_MAX = 300
"""So many seeds meet every required mark several times."""

REQUIRED = {
    *itertools.product(("cut", "half open", "worker killed"), ("assigned", "parked", "body")),
    *itertools.product(("engine killed before commit", "engine killed after commit"), ("assigned", "parked", "ready")),
    *itertools.product(("engine stopped",), ("assigned", "parked")),
    *itertools.product(("worker left", "worker stopped"), ("parked", "body")),
    *itertools.product(("cut to server", "black hole", "worker vanished"), ("body",)),
}
"""Faults and the states in which they must find a run; `body` is a step that is executing."""

SITUATIONS = {
    "frame duplicate",
    "frame stale",
    "run resumed",
    "run taken over",
    "run not admitted",
    "run given back: evicted",
    "run fenced: the run is completed",
    "run fenced: the run is not this worker's any more",
}

marks_of: dict[int, Counter[str]] = {}


pytestmark = pytest.mark.usefixtures("quiet_logs")


def play(seed: int, folder: Path) -> Result:
    mine = folder / str(seed)
    mine.mkdir()
    result = live(seed, mine if seed % 5 == 4 else None)
    marks_of[seed] = result.marks
    return result


def test_nothing_acknowledged_is_lost_or_repeated_whatever_breaks(seed: int, tmp_path: Path) -> None:
    violations = play(seed, tmp_path).violations
    again = f"pytest tests/simulation/test_system.py -s -k 'breaks and [{seed}]' --seeds {seed + 1}"
    assert not violations, "\n".join([*violations, f"again: {again}"])


@pytest.mark.parametrize("number", [1, 14])  # in memory, in SQLite
def test_a_seed_repeats_to_the_byte(number: int, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = (play(number, folder) for folder in folders)
    assert one.fingerprint == other.fingerprint


def test_the_faults_have_met_every_state_that_matters(tmp_path: Path) -> None:
    wanted = {f"{fault} x {state}" for fault, state in REQUIRED} | SITUATIONS
    for seed in range(SEEDS_MAX):
        if seed not in marks_of:
            play(seed, tmp_path)
        wanted -= set(marks_of[seed])
        if not wanted:
            return
    assert not wanted, f"no seed below {SEEDS_MAX} has met {sorted(wanted)}"
