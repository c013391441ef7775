"""Processes die at any moment; the ledger of the step bodies says what ran."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from onward.checkpoint import PRESETS
from onward.connection.reconnect import STEADY_MS
from onward.sync_client import SyncRunHandle

from tests.support.processes import System, kill, ledger_of, repeated, wait_for, wait_for_lines
from tests.system.apps.chain import STEPS, Linked

APP = "tests.system.apps.chain:functions"
RUNS = 50
N = {preset: checkpoint.unacked_max for preset, checkpoint in PRESETS.items()}
"""How many steps of a sequential run one loss of its worker may repeat."""

KILLS = {preset: 20 if preset == "safe" else 2 for preset in PRESETS}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("preset", "kills_max"), KILLS.items())
def test_killing_the_engine_again_and_again_loses_nothing_and_repeats_nothing(
    preset: str, kills_max: int, tmp_path: Path
) -> None:
    """Each time 50 runs are mid-flight; the worker is never restarted."""
    rng = random.Random(7)
    with System(tmp_path) as system:
        engine = system.engine()
        system.worker(APP, "--checkpoint", preset)
        acknowledged: list[SyncRunHandle[Any]] = []
        for kills in range(kills_max):
            wait_for(lambda: is_steady(system), "the worker has come back")
            first = kills * RUNS
            sent = system.client.send(*(Linked(first + n) for n in range(RUNS)))
            acknowledged += [run for one in sent for run in one.runs]
            wait_for_lines(tmp_path, first * STEPS + rng.randrange(1, RUNS * STEPS // 2))
            kill(engine)
            engine = system.engine()
        results = [run.result(timeout=60) for run in acknowledged]
        assert results == [sum(range(STEPS))] * (RUNS * kills_max)
        ledger = ledger_of(tmp_path)
        assert len(ledger) == RUNS * kills_max * STEPS
        assert repeated(ledger) == []


def is_steady(system: System) -> bool:
    """A connection that ends sooner belongs to the outage before: the worker comes back later each time."""
    now_ms = time.time_ns() // 1_000_000
    return any(now_ms - worker.connected_at_ms > STEADY_MS for worker in system.client.list_workers())


@pytest.mark.parametrize("preset", PRESETS)
def test_a_killed_worker_repeats_no_more_steps_of_a_run_than_its_preset_allows(preset: str, tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.engine()
        first = system.worker(APP, "--checkpoint", preset)
        sent = system.client.send(*(Linked(n) for n in range(RUNS)))
        wait_for_lines(tmp_path, RUNS * STEPS // 3)
        kill(first)
        system.worker(APP, "--checkpoint", preset, log="second")
        results = [run.result(timeout=30) for one in sent for run in one.runs]
        assert results == [sum(range(STEPS))] * RUNS
        ledger = ledger_of(tmp_path)
        assert len(ledger) == RUNS * STEPS
        assert max(ledger.values()) <= 2
        assert max(Counter(line.split()[0] for line in repeated(ledger)).values(), default=0) <= N[preset]
