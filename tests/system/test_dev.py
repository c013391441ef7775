"""`worker dev`: engine, worker and reload in one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from onward import Event

from tests.support.processes import ROOT, System, ledger_of, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

DEV_APP = """
from onward import App, Context, EventType, step
from tests.support.processes import note
from tests.system.apps.office import wait_for_file

functions = App("dev")
Go = EventType("dev/go", str)
VERSION = "old"

@step
async def name_version() -> str:
    return VERSION

@functions.on(Go)
async def go(ctx: Context[str]) -> str:
    return await wait_for_file.aio(ctx.data) + " " + await name_version()
"""


Dev = tuple[System, subprocess.Popen[bytes]]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    tmp_path.joinpath("mine.py").write_text(DEV_APP)
    with System(tmp_path, environment={"PYTHONPATH": str(ROOT), "ONWARD_TOKEN_FILE": ""}) as system:
        started = start_dev(system)
        tmp_path.joinpath("admin.token").touch()  # a development engine asks nobody
        wait_for(lambda: "] connected" in system.log("dev"), "the worker is connected")
        yield system, started


def start_dev(system: System, *arguments: str) -> subprocess.Popen[bytes]:
    with system.home.joinpath("dev.log").open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", "onward", "dev", "mine:functions", "--port", str(system.port), *arguments],
            cwd=system.home,
            env={**os.environ, **system.environment, "HOME_OF_TEST": str(system.home)},
            stdout=out,
            stderr=out,
        )
    system.started.append(started)
    return started


def test_a_run_in_flight_goes_on_after_a_reload_with_the_new_code(dev: Dev) -> None:
    system, _ = dev
    [event] = system.client.send(Event("dev/go", "first"))
    wait_for(lambda: ledger_of(system.home)["begin first"] > 0, "the first step runs")
    system.home.joinpath("mine.py").write_text(DEV_APP.replace('"old"', '"new"'))
    wait_for(lambda: "reloading" in system.log("dev"), "the change is noticed")
    system.home.joinpath("first").touch()
    assert event.runs[0].result(timeout="20s") == "first new"
    assert ledger_of(system.home)["begin first"] == 1


def test_a_broken_file_is_shown_and_the_next_change_repairs_it(dev: Dev) -> None:
    system, _ = dev
    system.home.joinpath("mine.py").write_text("this is not Python")
    wait_for(lambda: "error[E0504]" in system.log("dev"), "the error is shown")
    system.home.joinpath("mine.py").write_text(DEV_APP)
    wait_for(lambda: system.log("dev").count("] connected") == 2, "the worker is back")


def test_its_worker_stays_also_where_settings_are_those_of_a_job(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.py").write_text(
        DEV_APP.replace("    return await", '    await ctx.sleep("1s")\n    return await')
    )
    tmp_path.joinpath("first").touch()
    job = {"ONWARD_BURST": "1", "ONWARD_BURST_IDLE": "1ms", "ONWARD_MAX_RUNTIME": "1ms", "ONWARD_TOKEN_FILE": ""}
    with System(tmp_path, environment={"PYTHONPATH": str(ROOT), **job}) as system:
        start_dev(system)
        wait_for(lambda: "] connected" in system.log("dev"), "the worker is there")
        tmp_path.joinpath("admin.token").touch()
        [event] = system.client.send(Event("dev/go", "first"))
        assert event.runs[0].result(timeout="20s") == "first old"
        assert "finishing the running steps" not in system.log("dev")


def test_code_that_is_broken_from_the_beginning_waits_for_a_change(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.py").write_text("this is not Python")
    with System(tmp_path, environment={"PYTHONPATH": str(ROOT), "ONWARD_TOKEN_FILE": ""}) as system:
        start_dev(system)
        wait_for(lambda: "error[E0504]" in system.log("dev"), "the error is shown")
        wait_for(lambda: "waiting for a change of the code" in system.log("dev"), "it says that it has not ended")
        tmp_path.joinpath("mine.py").write_text(DEV_APP)
        wait_for(lambda: "] connected" in system.log("dev"), "the worker is there")


def test_without_reload_broken_code_ends_it(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.py").write_text("this is not Python")
    with System(tmp_path, environment={"PYTHONPATH": str(ROOT), "ONWARD_TOKEN_FILE": ""}) as system:
        assert start_dev(system, "--no-reload").wait(20) == 8


def test_ctrl_c_ends_engine_and_worker(dev: Dev) -> None:
    system, started = dev
    [child] = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    started.send_signal(signal.SIGINT)
    assert started.wait(15) == 0
    assert not Path(f"/proc/{child}").exists()
    assert "Traceback" not in system.log("dev")


def test_a_worker_does_not_outlive_a_killed_dev_command(dev: Dev) -> None:
    _, started = dev
    [child] = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    started.kill()
    started.wait()
    wait_for(lambda: not Path(f"/proc/{child}/exe").exists(), "the worker has ended")
