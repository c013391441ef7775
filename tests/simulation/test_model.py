"""The whole product at the speed of a model, and whether the checker would notice if a safeguard were missing.

`make test` plays 2,000 seeds, `make sim SEEDS=100000` as many as one likes.
"""

import itertools
import os

import pytest

from tests.support.campaign import campaign
from tests.support.model import live
from tests.support.mutants import MUTANTS, caught_at

QUICK = range(25)
"""Seeds that catch most mutants; `python -m tests.mutants` tries 2,000."""

CAUGHT_AT_ONCE = [
    "ack_before_commit",
    "claim_keeps_epoch",
    "duplicate_stored",
    "early_event_missed",
    "eviction_not_reported",
    "fence_ignored",
    "limit_ignored",
    "missing_run_kept",
    "nobody_let_in",
    "parent_resumed_twice",
    "place_leaks",
    "repeated_event_starts",
    "timer_fires_twice",
    "unacked_forgotten",
    "window_ignored",
]

SEEDS_FOR_MARKS = 200
"""So many seeds meet every required mark."""

REQUIRED = {
    *itertools.product(("cut", "half open", "worker killed"), ("assigned", "parked", "body")),
    *itertools.product(("engine killed before commit", "engine killed after commit"), ("assigned", "parked")),
    *itertools.product(("worker stopped", "messages lost", "black hole"), ("assigned", "body")),
    *itertools.product(("engine stood still", "engine stopped"), ("assigned", "parked")),
}
"""Faults, and the states in which they must find a run; `body` is a step that is executing."""

SITUATIONS = {
    *("frame duplicate", "frame stale", "run resumed", "run taken over", "run given back: evicted"),
    *("run fenced: the run is completed", "run fenced: the run is not this worker's any more"),
}

pytestmark = pytest.mark.usefixtures("quiet_logs")


@pytest.mark.timeout(0)
def test_no_promise_is_broken_whatever_breaks(request: pytest.FixtureRequest) -> None:
    seeds: int = request.config.option.seeds
    found = campaign(range(seeds), os.cpu_count() or 1)
    assert not found.failures, "\n".join(map(str, found.failures))
    if seeds >= SEEDS_FOR_MARKS:
        wanted = {f"{fault} x {state}" for fault, state in REQUIRED} | SITUATIONS
        assert wanted <= set(found.marks), f"no seed has met {sorted(wanted - set(found.marks))}"


def test_a_seed_repeats_message_by_message() -> None:
    assert live(7, keeps_trace=True).fingerprint == live(7, keeps_trace=True).fingerprint


@pytest.mark.parametrize("name", CAUGHT_AT_ONCE)
def test_the_product_without_a_safeguard_is_caught(name: str) -> None:
    assert caught_at(name, QUICK) is not None, f"nothing notices that this is missing: {MUTANTS[name].safeguard}"
