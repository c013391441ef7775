"""Processes of steps below a real worker: whose end they share, and whose signals they do not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import System, child_of, is_alive, kill, ledger_of, wait_for

APP = "tests.system.apps.crunch:functions"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and needs SIGIO of pipes")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.engine()
        yield running


def started(system: System, what: str) -> tuple[str, int]:
    """Start a run and wait until its step executes; return the run and the step's process."""
    run = system.client.start("crunch/crunch", what).id
    wait_for(lambda: ledger_of(system.home).total() > 0, "the body has begun")
    [line] = ledger_of(system.home)
    return run, int(line.split()[1])


def test_a_body_that_keeps_its_interpreter_holds_up_no_other_run(system: System) -> None:
    system.worker(APP)
    started(system, "for ever")
    greeted = system.client.start("crunch/greet", "ann")
    assert system.client.wait(greeted.id, timeout="20s").output == "hello ann"


def test_a_body_in_native_code_ends_with_a_worker_that_is_killed(system: System) -> None:
    worker = system.worker(APP)
    _, pid = started(system, "for ever")
    child = child_of(worker)
    kill(worker)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the step's process has ended", seconds=5)


def test_a_worker_that_is_told_to_stop_twice_ends_a_body_in_native_code(system: System) -> None:
    worker = system.worker(APP)
    _, pid = started(system, "for ever")
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "finishing the running steps" in system.log("worker"), "the first one is heard")
    worker.send_signal(signal.SIGTERM)
    worker.wait(10)
    wait_for(lambda: not is_alive(pid), "the step's process has ended", seconds=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_everybody_is_for_the_worker_to_judge(system: System, number: signal.Signals) -> None:
    worker = system.worker(APP)
    run, pid = started(system, "second")
    os.kill(pid, number)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    system.worker(APP, log="successor")
    assert system.client.wait(run, timeout="20s").output == "done"
    assert ledger_of(system.home).total() == 1
    assert not is_alive(pid)
