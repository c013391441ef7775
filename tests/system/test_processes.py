"""`worker run --processes`: workers that die by a crash, by want of memory or by their own hand; others go on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onward.sync_client import SyncRunHandle

from tests.support.processes import System, children_of, is_alive, ledger_of, wait_for

APP = "tests.system.apps.mortal:functions"
GOES_ON_S = 1.5
ADDRESS_SPACE = 768 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        running.engine()
        yield running


def start(system: System, *arguments: str, processes: int = 2, app: str = APP) -> subprocess.Popen[bytes]:
    """Start processes, and wait until the engine has a slot at each of them."""
    supervisor = system.command(
        "run", app, "--log-format", "json", "--processes", str(processes), *arguments, log="worker"
    )
    wait_for(lambda: sum(worker.free > 0 for worker in system.client.list_workers()) == processes, "all have slots")
    return supervisor


def start_before(system: System, function: str, *inputs: str) -> list[SyncRunHandle[Any]]:
    """Start runs while there is no worker. The engine knows their functions from one that was there."""
    worker = system.worker(APP, log="before")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    return [system.client.start(function, one) for one in inputs]


def lines(system: System, event: str) -> list[dict[str, Any]]:
    """The lines of the log that tell of this."""
    found = [json.loads(line) for line in system.log("worker").splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def logged(system: System, event: str) -> dict[str, Any]:
    wait_for(lambda: bool(lines(system, event)), event)
    return lines(system, event)[0]


def begun(system: System, name: str) -> list[int]:
    """The processes in which this step has begun."""
    return noted(system, f"begin {name}")


def noted(system: System, what: str) -> list[int]:
    """The processes that have noted this."""
    return [int(line.split()[-1]) for line in ledger_of(system.home) if line.startswith(f"{what} ")]


def runs_in_both(system: System) -> list[str]:
    """Start runs that wait in a step, until some do so in each of two processes: nobody says which one takes a run."""
    names = list[str]()
    while len({begun(system, name)[0] for name in names}) < 2:
        assert len(names) < 60
        for name in [f"r{len(names) + n}" for n in range(6)]:
            system.client.start("test/gated", name)
            names.append(name)
        wait_for(lambda: all(begun(system, name) for name in names), "all of them execute")
    return names


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("crash", {"signal": "SIGSEGV", "cause": "native code has crashed"}),
        ("give up", {"signal": "SIGABRT", "cause": "native code has given up"}),
        ("9", {"signal": "SIGKILL", "cause": "killed from outside"}),
        ("exit", {"exit_status": 3, "cause": "ended itself with status 3, as os._exit does"}),
        ("success", {"exit_status": 0, "cause": "ended itself with status 0, as os._exit does"}),
    ],
)
def test_the_runs_of_a_process_that_dies_go_on_in_another_one_at_once_and_the_log_says_how_it_died(
    system: System, how: str, said: dict[str, object]
) -> None:
    supervisor = start(system)
    names = runs_in_both(system)
    system.client.start("test/deadly", ("d", how))
    wait_for(lambda: bool(noted(system, "victim")), "the deadly step has begun")
    died_at, victim = time.monotonic(), noted(system, "victim")[0]
    orphans = [name for name in names if begun(system, name)[0] == victim]
    wait_for(lambda: all(len(begun(system, name)) == 2 for name in orphans), "its runs execute again")
    took_s = time.monotonic() - died_at
    line = logged(system, "worker died")
    assert took_s <= GOES_ON_S
    assert said.items() <= line.items()
    assert line["pid"] == victim
    assert line["was_running"][0].startswith("step die of run ")
    wait_for(lambda: len(system.client.list_workers()) == 2, "another one has taken its place")
    assert len(children_of(supervisor)) == 2
    assert all(len(noted(system, f"first {name}")) == 1 for name in names)


def test_a_process_that_reaches_the_limit_of_its_address_space_says_so(system: System) -> None:
    """Native code that does not look whether it got what it asked for."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.RLIM_INFINITY))
    try:
        supervisor = start(system)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run = system.client.start("test/deadly", ("d", "out of memory"))
    assert "address space" in logged(system, "worker died")["cause"]
    assert run.result(timeout="20s") == "d"
    assert supervisor.poll() is None


def test_a_step_that_kills_every_process_fails_in_the_end_and_the_processes_are_there_again(system: System) -> None:
    supervisor = start(system, app="tests.system.apps.blocking:functions")
    files = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    run = system.client.start("test/deadly", "a")
    wait_for(lambda: system.client.get_run(run.id).is_over, "it is over")
    error = system.client.get_run(run.id).error
    assert error is not None
    assert "WorkerLost" in error.message
    assert [line["was_running"] for line in lines(system, "worker died")] == [[f"step die of run {run.id}"]] * 5
    wait_for(lambda: len(children_of(supervisor)) == 2, "there are two again")
    wait_for(lambda: len(os.listdir(f"/proc/{supervisor.pid}/fd")) <= files, "nothing is left open")


def test_a_crash_shows_the_place_in_python_that_led_there_and_what_was_started_there_ends(system: System) -> None:
    start(system)
    system.client.start("test/deadly", ("d", "crash"))
    assert "in die" in logged(system, "worker died")["stack"]
    [helper] = noted(system, "helper")
    wait_for(lambda: not is_alive(helper), "it would go on beside the same step elsewhere")


def test_what_cannot_be_imported_is_told_once_and_ends_everything(system: System) -> None:
    system.environment["UNABLE_TO_IMPORT"] = "1"
    supervisor = system.command("run", APP, "--processes", "3", log="worker")
    assert supervisor.wait(20) == 8
    assert system.log("worker").count("error[E0504]") == 1


def test_a_refused_token_ends_all_processes_with_its_status(system: System) -> None:
    supervisor = start(system)
    system.client.start("test/held", "h")
    wait_for(lambda: bool(begun(system, "h")), "a body is in a thread, which nobody waits for")
    system.started[0].send_signal(signal.SIGTERM)
    system.started[0].wait(10)
    system.home.joinpath("admin.token").rename(system.home / "elsewhere")
    system.home.joinpath("admin.token").write_text("onw_wrong")
    database = str(system.home / "onward.db")
    system.command(
        *("engine", "start", "--port", str(system.port), "--db", database),
        *("--admin-token-file", str(system.home / "elsewhere")),
        log="engine",
    )
    assert supervisor.wait(30) == 4
    assert "guard" not in system.log("worker"), "it would be refused, too"


def test_a_signal_ends_all_processes_in_good_order(system: System) -> None:
    supervisor = start(system, processes=3)
    children = children_of(supervisor)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert not any(is_alive(child) for child in children)
    assert not lines(system, "worker died")


def test_a_second_signal_ends_them_at_once(system: System) -> None:
    supervisor = start(system)
    runs_in_both(system)
    supervisor.send_signal(signal.SIGTERM)
    wait_for(lambda: len(lines(system, "finishing the running steps; once more to stop at once")) == 2, "both drain")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 143


def test_one_of_several_that_is_asked_to_leave_is_replaced(system: System) -> None:
    supervisor = start(system)
    [_, asked] = children_of(supervisor)
    os.kill(asked, signal.SIGTERM)
    logged(system, "worker has left, another one takes its place")
    wait_for(lambda: len(children_of(supervisor)) == 2, "there are two again")
    assert asked not in children_of(supervisor)
    assert not lines(system, "worker died")


def test_no_process_outlives_its_supervisor(system: System) -> None:
    supervisor = start(system)
    children = children_of(supervisor)
    supervisor.kill()
    wait_for(lambda: not any(is_alive(child) for child in children), "all are gone", seconds=5)


def test_lines_of_the_log_say_which_process_wrote_them(system: System) -> None:
    start(system)
    wait_for(lambda: len(lines(system, "connected")) == 2, "both have said so")
    assert {line["process"] for line in lines(system, "connected")} == {0, 1}


def test_a_process_that_is_too_large_finishes_its_steps_and_is_replaced(system: System) -> None:
    supervisor = start(system, "--max-memory", "160M", processes=1)
    [old] = children_of(supervisor)
    run = system.client.start("test/growing", 150)
    logged(system, "worker is too large, another one takes its place")
    system.home.joinpath("gate").touch()
    assert run.result(timeout="20s") == old
    wait_for(lambda: bool(children_of(supervisor)) and children_of(supervisor) != [old], "another one is there")
    assert not lines(system, "worker died")
    assert system.client.run("test/who", "x", timeout="20s") in children_of(supervisor)


def test_a_process_that_grows_on_is_killed_before_the_system_kills_all(system: System) -> None:
    supervisor = start(system, "--max-memory", "100M")
    system.client.start("test/hungry", 200)
    line = logged(system, "worker died")
    assert "far above --max-memory" in line["cause"]
    wait_for(lambda: len(children_of(supervisor)) == 2, "another one is there")


@pytest.mark.parametrize("alone", [(), ("--no-supervise",)], ids=["supervised", "alone"])
def test_a_burst_ends_well_when_there_is_no_more_work(system: System, alone: tuple[str, ...]) -> None:
    runs = start_before(system, "test/who", *(f"r{n}" for n in range(50)))
    worker = system.command("run", APP, "--burst", "--burst-idle", "1s", *alone, log="worker")
    assert worker.wait(20) == 0
    assert all(run.result(timeout="5s") for run in runs)


def test_a_burst_does_not_end_while_a_process_works(system: System) -> None:
    start_before(system, "test/gated", "one")
    supervisor = start(system, "--burst", "--burst-idle", "1s")
    wait_for(lambda: bool(begun(system, "one")), "it executes")
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.wait(3)
    assert len(children_of(supervisor)) == 2
    system.home.joinpath("gate").touch()
    assert supervisor.wait(20) == 0


def test_a_worker_for_a_limited_time_leaves_in_good_order_and_hands_on_what_is_not_done(system: System) -> None:
    [run] = start_before(system, "test/gated", "one")
    worker = system.command("run", APP, "--max-runtime", "5s", "--drain-timeout", "100ms", log="worker")
    wait_for(lambda: bool(begun(system, "one")), "it executes")
    assert worker.wait(20) == 0
    system.home.joinpath("gate").touch()
    system.worker(APP, log="second")
    assert run.result(timeout="20s") == "one by old code"


def test_changed_code_is_taken_by_all_processes_and_a_run_in_flight_goes_on_in_it(tmp_path: Path) -> None:
    code = Path("tests/system/apps/mortal.py").read_text()
    (tmp_path / "mine.py").write_text(code)
    with System(tmp_path, environment={"PYTHONPATH": os.getcwd(), "HOME_OF_TEST": str(tmp_path)}) as system:
        system.engine()
        supervisor = run_in(tmp_path, system, "mine:functions", "--processes", "2", "--reload")
        wait_for(lambda: len(system.client.list_workers()) == 2, "both are connected")
        run = system.client.start("test/gated", "one")
        wait_for(lambda: bool(begun(system, "one")), "it executes")
        old = children_of(supervisor)
        (tmp_path / "mine.py").write_text(code.replace("old code", "new code"))
        wait_for(lambda: system.log("worker").count("finishing the running steps") == 2, "both leave")
        (tmp_path / "gate").touch()
        assert run.result(timeout="20s") == "one by new code"
        wait_for(lambda: len(children_of(supervisor)) == 2, "there are two again")
        assert not set(old) & set(children_of(supervisor))
        assert len(begun(system, "one")) == 1


def run_in(folder: Path, system: System, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a worker whose code is in this folder."""
    address = {"ONWARD_URL": system.url, "ONWARD_TOKEN_FILE": str(system.home / "admin.token")}
    with folder.joinpath("worker.log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "onward", "run", *arguments],
            cwd=folder,
            env={**os.environ, **address, **system.environment},
            stderr=log,
        )
    system.started.append(supervisor)
    return supervisor


def test_several_processes_are_live_and_ready_to_a_probe(system: System) -> None:
    system.environment["ONWARD_RUN_DIR"] = str(system.home / "run")
    supervisor = start(system)
    probe = [str(Path(sys.executable).with_name("worker")), "probe"]
    environment = {**os.environ, **system.environment}
    wait_for(lambda: subprocess.run([*probe, "ready"], env=environment, check=False).returncode == 0, "ready")
    assert subprocess.run([*probe, "live"], env=environment, check=False).returncode == 0
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert not list((system.home / "run").iterdir())
