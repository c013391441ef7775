"""A deploy under load: one worker after the other is told to leave, and its successor comes.

`ROLLS=20 pytest tests/system/test_rolling_restart.py` does what a day of deploys does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.processes import System, ledger_of, repeated, wait_for_lines
from tests.system.apps.chain import STEPS, Linked

APP = "tests.system.apps.chain:functions"
ROLLS = int(os.environ.get("ROLLS", "1"))
WORKERS = 3
STEP_S = 0.05
FLOCK = 40


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.engine()
        yield running


def leave(worker: subprocess.Popen[bytes]) -> float:
    """Tell a worker to leave as a container is told; return the seconds that it took."""
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    return time.monotonic() - began


@pytest.mark.timeout(60 + 30 * ROLLS)
def test_a_rolling_restart_fails_no_run_repeats_no_step_and_waits_for_the_running_step_only(system: System) -> None:
    workers = [system.worker(APP, log=f"worker{number}") for number in range(WORKERS)]
    runs, numbers = list[str](), count()
    took_s = list[float]()
    for number in range(ROLLS * WORKERS):
        started = system.client.send(*[Linked(next(numbers)) for _ in range(FLOCK)])
        runs += [run.id for sent in started for run in sent.runs]
        wait_for_lines(system.home, ledger_of(system.home).total() + 2 * FLOCK)
        took_s.append(leave(workers.pop(0)))
        workers.append(system.worker(APP, log=f"successor{number}"))
    results = [system.client.wait(run, timeout="30s").output for run in runs]
    assert results == [sum(range(STEPS))] * len(runs)
    assert repeated(ledger_of(system.home)) == []
    assert max(took_s) <= STEP_S + 2
