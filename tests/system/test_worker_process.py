"""`worker run` as a process: its port, its signals, its memory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from onward import Event

from tests.support.processes import System, child_of, ledger_of, wait_for

APP = "tests.system.apps.office:functions"
RESIDENT_KIB_MAX = 42 * 1024

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.engine()
        yield running


def connected(system: System, log: str = "worker", times: int = 1) -> None:
    wait_for(lambda: system.log(log).count("] connected") >= times, "the worker is connected")


def noted(system: System, line: str) -> None:
    wait_for(lambda: ledger_of(system.home)[line] > 0, line)


def start_gated(system: System, name: str) -> str:
    """Start a run and wait until its first step blocks a thread."""
    connected(system)
    run = system.client.start("test/gated", name).id
    noted(system, f"begin {name}")
    return run


def listening(pid: int) -> list[str]:
    """The local addresses of listening sockets of a process."""
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    tables = [Path(f"/proc/{pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_checkpoint_setting_of_a_worker_counts_for_the_functions_of_its_app(system: System, how: str) -> None:
    system.environment |= {"ONWARD_CHECKPOINT": "off" if how == "variable" else "safe"}
    system.worker(APP, *(["--checkpoint", "off"] if how == "option" else []))
    [started] = system.client.send(Event("test/go", {"names": "a b c"}))
    assert started.runs[0].result(timeout="10s") == "a b c"
    with closing(sqlite3.connect(system.home / "onward.db")) as database:
        [(residences,)] = database.execute("SELECT epoch FROM ended")
    assert (residences, ledger_of(system.home)["begin a"]) == (3, 1)


def test_no_collection_of_garbage_looks_through_what_a_worker_has_loaded(system: System) -> None:
    system.worker(APP)
    connected(system)
    left_out, looked_at = system.client.start("test/collected", "").result(timeout="10s")
    assert left_out > 10 * looked_at


@linux
def test_a_worker_listens_on_no_port_and_an_idle_one_is_small(system: System) -> None:
    supervisor = system.worker(APP)
    worker = child_of(supervisor)
    connected(system)
    assert listening(supervisor.pid) == listening(worker) == []
    status = Path(f"/proc/{worker}/status").read_text()
    resident_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident_kib <= RESIDENT_KIB_MAX


@linux
def test_an_engine_listens_on_its_one_port(system: System) -> None:
    assert [address.split(":")[1] for address in listening(system.started[0].pid)] == [f"{system.port:04X}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_step_end_and_another_worker_goes_on(system: System, number: signal.Signals) -> None:
    first = system.worker(APP)
    run = start_gated(system, "step")
    first.send_signal(number)
    wait_for(lambda: "finishing the running steps" in system.log("worker"), "the worker drains")
    system.home.joinpath("step").touch()
    assert first.wait(10) == 0
    system.worker(APP, log="second")
    assert system.client.wait(run, timeout="10s").output == "stepafter"
    assert ledger_of(system.home)["begin step"] == 1
    assert "Traceback" not in system.log("worker")


def test_a_second_signal_ends_the_worker_at_once_and_its_step_runs_again(system: System) -> None:
    first = system.worker(APP)
    run = start_gated(system, "step")
    first.send_signal(signal.SIGTERM)
    wait_for(lambda: "finishing the running steps" in system.log("worker"), "the worker drains")
    first.send_signal(signal.SIGTERM)
    assert first.wait(5) == 143
    system.home.joinpath("step").touch()
    system.worker(APP, log="second")
    assert system.client.wait(run, timeout="10s").output == "stepafter"
    assert ledger_of(system.home)["begin step"] == 2


def test_a_step_that_outlasts_the_drain_is_given_up(system: System) -> None:
    first = system.worker(APP, "--drain-timeout", "500ms")
    run = start_gated(system, "step")
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    system.home.joinpath("step").touch()
    system.worker(APP, log="second")
    assert system.client.wait(run, timeout="10s").output == "stepafter"


def test_the_lifespan_is_entered_once_and_left_at_the_end(system: System) -> None:
    worker = system.worker(APP)
    connected(system)
    assert system.client.run("test/state_of_worker", "x", timeout="10s") == "the pool"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert (ledger_of(system.home)["open"], ledger_of(system.home)["close"]) == (1, 1)


def test_a_worker_waits_for_an_engine_that_is_not_there_yet(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        tmp_path.joinpath("admin.token").write_text("onw_admin_test")
        system.command("run", APP, log="worker")
        wait_for(lambda: "not connected, trying again" in system.log("worker"), "the first attempt failed")
        system.engine()
        connected(system)
        assert system.client.run("test/state_of_worker", "x", timeout="20s") == "the pool"


def test_a_wrong_token_ends_the_worker_with_one_sentence(system: System) -> None:
    system.environment["ONWARD_TOKEN"] = "onw_wrong"
    worker = system.command("run", APP, log="worker")
    assert worker.wait(10) == 4
    assert "does not accept this token" in system.log("worker")
    assert "Traceback" not in system.log("worker")
    assert "onw_wrong" not in system.log("worker")


def test_a_rotated_token_is_read_at_the_next_connect(system: System) -> None:
    worker = system.worker(APP)
    connected(system)
    engine = system.started[0]
    engine.send_signal(signal.SIGTERM)
    engine.wait(10)
    system.home.joinpath("admin.token").write_text("onw_admin_rotated")
    system.engine()
    connected(system, times=2)
    assert system.client.run("test/state_of_worker", "x", timeout="20s") == "the pool"
    assert worker.poll() is None


def test_blocking_code_in_a_sync_function_does_not_keep_a_worker_from_ending(system: System) -> None:
    worker = system.worker(APP, "--drain-timeout", "300ms")
    connected(system)
    system.client.start("test/blocking", "never")
    noted(system, "begin never")
    worker.send_signal(signal.SIGTERM)
    try:
        assert worker.wait(10) == 0
    except subprocess.TimeoutExpired:
        pytest.fail(f"the worker did not end:\n{system.log('worker')}")
