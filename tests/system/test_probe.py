"""`worker probe` beside a worker that lives, loses its engine, drains and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import System, kill, ledger_of, wait_for

APP = "tests.system.apps.office:functions"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.environment["ONWARD_RUN_DIR"] = str(tmp_path / "run")
        running.engine()
        yield running


def probe(system: System, question: str) -> tuple[int, str]:
    """Ask as a container does; return the status and what it says."""
    command = [str(Path(sys.executable).with_name("worker")), "probe", question]
    environment = {**os.environ, **system.environment}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return ended.returncode, ended.stdout + ended.stderr


def beat_of(system: System) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(system.environment["ONWARD_RUN_DIR"], "health").read_text())
    return found


def connected(system: System) -> None:
    wait_for(lambda: beat_of(system)["connection"] == "open", "the beat says that it is connected")


def test_a_worker_that_is_connected_is_live_and_ready_and_leaves_nothing_at_its_end(system: System) -> None:
    worker = system.worker(APP)
    connected(system)
    assert probe(system, "live") == (0, "live\n")
    assert probe(system, "ready") == (0, "ready\n")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert probe(system, "live")[0] == 1


def test_an_engine_that_is_away_makes_no_worker_dead_or_unready(system: System) -> None:
    system.worker(APP)
    connected(system)
    kill(system.started[0])
    wait_for(lambda: beat_of(system)["connection"] == "lost", "the beat says that the engine is away")
    assert probe(system, "live") == (0, "live\n")
    assert probe(system, "ready") == (0, "ready\n")


def test_a_worker_that_finishes_its_steps_is_live_and_not_ready(system: System) -> None:
    worker = system.worker(APP)
    system.client.start("test/gated", "step")
    wait_for(lambda: ledger_of(system.home)["begin step"] > 0, "the step runs")
    wait_for(lambda: beat_of(system)["in_flight"] == 1, "the beat says that a run occupies a slot")
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: beat_of(system)["state"] == "draining", "the worker drains")
    assert probe(system, "live") == (0, "live\n")
    assert probe(system, "ready") == (1, "not ready: it finishes its running steps and leaves\n")
    system.home.joinpath("step").touch()
    assert worker.wait(10) == 0


def test_a_worker_without_an_engine_is_live_and_not_ready(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        tmp_path.joinpath("admin.token").write_text("onw_admin_test")
        system.environment["ONWARD_RUN_DIR"] = str(tmp_path / "run")
        system.command("run", APP, log="worker")
        wait_for(lambda: "not connected, trying again" in system.log("worker"), "the first attempt failed")
        assert probe(system, "live") == (0, "live\n")
        assert probe(system, "ready") == (1, "not ready: it was not connected yet\n")
