"""Workers that stand still, and those that die: what their supervisors do about it. Leases are short."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import System, child_of, children_of, kill, ledger_of, wait_for

APP = "tests.system.apps.blocking:functions"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.quick_engine()
        yield running


def join(system: System, *arguments: str, log: str = "worker") -> subprocess.Popen[bytes]:
    """Start a worker, and wait until it has told its supervisor who it is: from then on somebody can speak for it."""
    worker = system.worker(APP, "--log-format", "json", *arguments, log=log)
    logged(system, "connected", log)
    return worker


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def lines(system: System, event: str, log: str = "worker") -> list[dict[str, Any]]:
    """The lines of a worker's log that tell of this."""
    found = [json.loads(line) for line in system.log(log).splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def logged(system: System, event: str, log: str = "worker") -> dict[str, Any]:
    wait_for(lambda: bool(lines(system, event, log)), event)
    return lines(system, event, log)[0]


def began(system: System, name: str, times: int = 1) -> None:
    wait_for(lambda: ledger_of(system.home)[f"begin {name}"] >= times, f"{name} has begun")


CULPRITS = {
    "hold": "hold_the_interpreter",
    "block": "in block",
    "work": "in (depth|compute)\n",  # of so many frames only the newest are shown, and between two dives there is one
    "hold_in_thread": "hold_the_interpreter",
}


@pytest.mark.parametrize(
    ("function", "step"),
    [("holding", "hold"), ("blocking", "block"), ("working", "work"), ("threaded", "hold_in_thread")],
)
def test_a_step_that_blocks_its_worker_keeps_its_run_and_is_named_with_its_stack(
    system: System, function: str, step: str
) -> None:
    """It holds the interpreter, or only the event loop, or computes, for ten times as long as a silent worker lives."""
    join(system)
    run = system.client.start(f"test/{function}", ("a", 5.0))
    began(system, "a")
    system.worker(APP, log="spare")
    assert run.result(timeout=20) == "a"
    assert ledger_of(system.home) == {"begin a": 1, "end a": 1}
    line = logged(system, "step blocks the event loop")
    assert (line["run"], line["function"], line["step"]) == (run.id, f"test/{function}", step)
    assert re.search(CULPRITS[step], line["stack"])
    assert "onward_cli/witness" not in line["stack"]
    logged(system, "event loop turns again")
    assert len(lines(system, "connected")) == 1
    assert "holdings differ" not in system.log("engine")


@pytest.mark.timeout(120)
def test_at_default_times_a_step_that_holds_the_interpreter_for_longer_than_any_lease_is_not_run_twice(
    tmp_path: Path,
) -> None:
    with System(tmp_path) as system:
        system.engine()
        join(system)
        run = system.client.start("test/holding", ("a", 18.0))
        began(system, "a")
        join(system, log="spare")
        assert run.result(timeout=60) == "a"
        assert ledger_of(system.home) == {"begin a": 1, "end a": 1}
        assert 3 <= logged(system, "step blocks the event loop")["seconds"] < 6


def test_a_stopped_worker_keeps_its_run_until_the_stall_limit_and_no_longer(system: System) -> None:
    worker = join(system, "--stall-limit", "2s")
    run = system.client.start("test/gated", "a")
    began(system, "a")
    system.worker(APP, log="spare")
    stopped_at = time.monotonic()
    os.kill(child_of(worker), signal.SIGSTOP)
    began(system, "a", times=2)
    assert 2 < time.monotonic() - stopped_at < 20
    system.home.joinpath("a").touch()
    assert run.result(timeout=20) == "a"
    logged(system, "worker is stopped")
    logged(system, "worker is given up, others go on with its runs")
    os.kill(child_of(worker), signal.SIGCONT)
    logged(system, "event loop turns again")
    wait_for(lambda: len(system.client.list_workers()) == 2, "the worker is back")


def test_what_a_stopped_worker_held_is_its_own_when_it_goes_on_in_time_even_after_a_start_of_the_engine(
    system: System,
) -> None:
    worker = join(system)
    run = system.client.start("test/gated", "a")
    began(system, "a")
    os.kill(child_of(worker), signal.SIGSTOP)
    wait_for(lambda: "worker stands still" in system.log("engine"), "the guard is there")
    kill(system.started[0])
    system.quick_engine()
    system.worker(APP, log="spare")
    wait_for(lambda: system.log("engine").count("worker stands still") == 2, "the guard is back")
    time.sleep(2)  # longer than any lease and the adoption
    os.kill(child_of(worker), signal.SIGCONT)
    logged(system, "event loop turns again")
    system.home.joinpath("a").touch()
    assert run.result(timeout=20) == "a"
    assert ledger_of(system.home) == {"begin a": 1, "end a": 1}


def test_a_worker_that_stands_still_gets_no_new_runs(system: System) -> None:
    worker = join(system)
    os.kill(child_of(worker), signal.SIGSTOP)
    wait_for(lambda: "worker stands still" in system.log("engine"), "the guard is there")
    run = system.client.start("test/waiting", ("a", 0.0))
    wait_for(lambda: system.client.why(run.id).code == "slots", "no worker has a free slot")
    join(system, log="spare")
    assert run.result(timeout=10) == "a"
    os.kill(child_of(worker), signal.SIGCONT)


def test_one_of_several_that_stands_still_for_too_long_is_ended_and_replaced(system: System) -> None:
    supervisor = system.command(
        *("run", APP, "--log-format", "json", "--processes", "2", "--stall-limit", "2s"), log="worker"
    )
    wait_for(lambda: len(system.client.list_workers()) == 2, "both are connected")
    victim, other = children_of(supervisor)
    os.kill(victim, signal.SIGSTOP)
    assert "stood still" in logged(system, "worker died")["cause"]
    wait_for(lambda: len(children_of(supervisor)) == 2, "another one takes its place")
    assert victim not in children_of(supervisor)
    assert other in children_of(supervisor)
    wait_for(lambda: len(system.client.list_workers()) == 2, "both are connected")
    assert "guard refused" not in system.log("worker")


def test_a_dead_worker_is_reported_with_how_it_died(system: System) -> None:
    worker = join(system)
    run = system.client.start("test/deadly", "a")
    assert worker.wait(20) == 128 + signal.SIGKILL
    line = logged(system, "worker died")
    assert (line["signal"], line["was_running"]) == ("SIGKILL", [f"step die of run {run.id}"])
    wait_for(lambda: "worker lost" in system.log("engine"), "the engine has heard it")


def test_a_step_that_kills_every_worker_fails_with_worker_lost_and_the_strikes_are_shown(system: System) -> None:
    """Each worker that dies is started again, as a container is."""
    worker = join(system)
    run = system.client.start("test/deadly", "a")
    strikes: list[int] = []
    while not system.client.get_run(run.id).is_over:
        if worker.poll() is not None:
            strikes.append(system.client.get_run(run.id).strikes)
            worker = system.command("run", APP, log=f"worker-{len(strikes)}")
        time.sleep(0.01)
    record = system.client.get_run(run.id)
    assert record.error is not None
    assert (record.status, record.error.type) == ("failed", "StepFailed")
    assert "WorkerLost" in record.error.message
    assert ledger_of(system.home)["begin a"] == 5
    assert strikes == [0, 1, 2, 3, 4]


def test_killing_the_supervisor_ends_its_worker_at_once_even_if_that_stands_still(system: System) -> None:
    worker = join(system)
    child = child_of(worker)
    system.client.start("test/holding", ("a", 30.0))
    began(system, "a")
    kill(worker)
    wait_for(lambda: not lives(child), "the worker is gone", seconds=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_supervisor_reaches_the_worker_once(system: System, number: signal.Signals) -> None:
    worker = join(system)
    run = system.client.start("test/waiting", ("a", 1.0))
    began(system, "a")
    worker.send_signal(number)
    assert worker.wait(20) == 0
    assert len(lines(system, "finishing the running steps; once more to stop at once")) == 1
    join(system, log="second")
    assert run.result(timeout=10) == "a"
    assert ledger_of(system.home)["begin a"] == 1
    assert not lines(system, "worker died")


def test_a_signal_to_every_process_of_a_service_counts_once(system: System) -> None:
    """As systemd sends it: to the supervisor, which hands it on, and to the worker."""
    worker = join(system)
    system.client.start("test/waiting", ("a", 1.0))
    began(system, "a")
    os.kill(child_of(worker), signal.SIGTERM)
    logged(system, "finishing the running steps; once more to stop at once")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert ledger_of(system.home) == {"begin a": 1, "end a": 1}


def test_ctrl_c_in_a_terminal_reaches_the_worker_once(system: System) -> None:
    """A terminal sends it to the whole process group."""
    worker = system.command("run", APP, "--log-format", "json", log="worker", process_group=0)
    logged(system, "connected")
    system.client.start("test/waiting", ("a", 1.0))
    began(system, "a")
    os.killpg(worker.pid, signal.SIGINT)
    assert worker.wait(20) == 0
    assert ledger_of(system.home) == {"begin a": 1, "end a": 1}


def test_without_a_supervisor_there_is_one_process(system: System) -> None:
    worker = join(system, "--no-supervise")
    assert Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text() == ""
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


@pytest.mark.parametrize("program", ["worker", ""], ids=["worker", "python -m onward"])
def test_a_supervisor_is_small(tmp_path: Path, program: str) -> None:
    with System(tmp_path) as system:
        system.engine()
        worker = system.command("run", APP, log="worker", program=program)
        wait_for(lambda: "connected" in system.log("worker"), "the worker is connected")
        rollup = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
    pss_kib = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    assert pss_kib < 12 * 1024
