"""The disk that the engine keeps its database on has no space: at its start, and while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from onward import Event
from onward.errors import EngineRefused

from tests.support.processes import ROOT, System, ledger_of, repeated, wait_for, wait_for_lines
from tests.system.apps.chain import STEPS, Linked

APP = "tests.system.apps.chain:functions"
MIB = 1024 * 1024

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a disk of the size that is asked for, and unmounts it at the end."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mounted(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root may mount a small disk")
        return disk

    yield mounted
    subprocess.run(["umount", "--lazy", str(disk)], check=False, capture_output=True)


def fill(path: Path) -> None:
    """Take all the space that there is."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass


def send_until_refused(system: System) -> tuple[list[str], EngineRefused]:
    """Send large events; return those that were acknowledged, and what was said of the first that was not."""
    acknowledged: list[str] = []
    for number in range(1000):
        try:
            system.client.send(Event("test/large", "x" * 100_000, id=f"large-{number}"))
        except EngineRefused as refusal:
            return acknowledged, refusal
        acknowledged.append(f"large-{number}")
    raise AssertionError("the disk never became full")


def is_stored(system: System, id: str) -> bool:
    """An id that was acknowledged is not taken for another event."""
    with pytest.raises(EngineRefused) as refusal:
        system.client.send(Event("test/large", "another", id=id))
    return refusal.value.status == 409


def takes_events(system: System) -> bool:
    try:
        system.client.send(Event("test/large", ""))
    except EngineRefused:
        return False
    return True


def test_an_engine_does_not_start_without_space_and_says_what_to_do(mount: Mount) -> None:
    database = mount("1m") / "onward.db"
    started = subprocess.run(
        [sys.executable, "-m", "onward", "engine", "start", "--port", "0", "--db", str(database)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
    )
    assert started.returncode == 75
    assert "error[E0603]" in started.stderr
    assert "help: free disk space" in started.stderr
    assert "Traceback" not in started.stderr
    assert not database.with_name("admin.token").exists()


def test_a_disk_that_becomes_full_stops_what_is_new_and_loses_nothing(tmp_path: Path, mount: Mount) -> None:
    disk = mount("24m")
    for folder in (tmp_path, disk):
        folder.joinpath("admin.token").write_text("onw_admin_test")
    with System(tmp_path) as system:
        engine = system.engine("--db", str(disk / "onward.db"))
        worker = system.worker(APP)
        runs = [run for sent in system.client.send(*map(Linked, range(20))) for run in sent.runs]
        wait_for_lines(tmp_path, 20)
        fill(disk / "ballast")
        acknowledged, refusal = send_until_refused(system)
        assert (refusal.status, "disk is full" in str(refusal)) == (503, True)
        os.unlink(disk / "ballast")
        wait_for(lambda: takes_events(system), "the engine goes on by itself")
        assert [run.result(timeout="30s") for run in runs] == [sum(range(STEPS))] * len(runs)
        assert repeated(ledger_of(tmp_path)) == []
        assert (engine.poll(), worker.poll()) == (None, None)
        assert [id for id in acknowledged if not is_stored(system, id)] == []
