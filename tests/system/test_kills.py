"""Processes die at any moment; the ledger of the step bodies says what ran."""

import random
from pathlib import Path
from typing import Any

import pytest
from onward.sync_client import SyncRunHandle

from tests.support.processes import System, kill, ledger_of, repeated, wait_for_lines
from tests.system.apps.chain import STEPS, Linked

APP = "tests.system.apps.chain:functions"
RUNS = 50
KILLS = 20


@pytest.mark.timeout(300)
def test_killing_the_engine_twenty_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Each time 50 runs are mid-flight; the worker is never restarted."""
    rng = random.Random(7)
    with System(tmp_path) as system:
        engine = system.engine()
        system.worker(APP)
        acknowledged: list[SyncRunHandle[Any]] = []
        for kills in range(KILLS):
            first = kills * RUNS
            sent = system.client.send(*(Linked(first + n) for n in range(RUNS)))
            acknowledged += [run for one in sent for run in one.runs]
            wait_for_lines(tmp_path, first * STEPS + rng.randrange(1, RUNS * STEPS // 2))
            kill(engine)
            engine = system.engine()
        results = [run.result(timeout=60) for run in acknowledged]
        assert results == [sum(range(STEPS))] * (RUNS * KILLS)
        ledger = ledger_of(tmp_path)
        assert len(ledger) == RUNS * KILLS * STEPS
        assert repeated(ledger) == []


def test_a_killed_worker_repeats_only_the_steps_in_flight(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.engine()
        first = system.worker(APP)
        sent = system.client.send(*(Linked(n) for n in range(RUNS)))
        wait_for_lines(tmp_path, RUNS * STEPS // 3)
        kill(first)
        system.worker(APP, log="second")
        results = [run.result(timeout=30) for one in sent for run in one.runs]
        assert results == [sum(range(STEPS))] * RUNS
        ledger = ledger_of(tmp_path)
        assert len(ledger) == RUNS * STEPS
        assert max(ledger.values()) <= 2
        assert len(repeated(ledger)) <= RUNS  # one step in flight for each run
