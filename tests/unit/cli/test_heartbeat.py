"""The heartbeat of a worker in a container: what it says, and what whoever asks makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from onward_cli.errors import CommandError
from onward_cli.heart import Heart
from onward_cli.heartbeat import answer, judge, look
from onward_cli.probe import app
from typer.testing import CliRunner

LIGHT = {"onward_cli", "onward_cli.main", "onward_cli.heartbeat"}
HEAVY = ("typer", "click", "asyncio", "msgspec", "onward", "onward_protocol", "pathlib", "typing", "tempfile", "mmap")
HOUR_S = 3600


def beat(state: str = "connected", connection: str = "open", lost_ms: int = 0) -> str:
    return json.dumps({"state": state, "connection": connection, "lost_ms": lost_ms})


@pytest.mark.parametrize("question", ["live", "ready"])
def test_a_worker_that_beats_and_is_connected_is_live_and_ready(question: str) -> None:
    assert judge(question, beat(), age_s=1) == ""


@pytest.mark.parametrize("question", ["live", "ready"])
@pytest.mark.parametrize("age_s", [31, HOUR_S, -HOUR_S])
def test_a_beat_that_is_old_or_from_the_future_counts_for_nothing(question: str, age_s: float) -> None:
    assert "heartbeat" in judge(question, beat(), age_s)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (beat("new", "none"), "not connected yet"),
        (beat("connecting", "none"), "not connected yet"),
        (beat("draining"), "leaves"),
        (beat("stopped"), "leaves"),
        (beat("connecting", "lost", 61_000), "its engine is away for 61 s"),
    ],
)
def test_a_worker_that_takes_no_work_is_live_but_not_ready(line: str, reason: str) -> None:
    assert judge("live", line, age_s=0) == ""
    assert reason in judge("ready", line, age_s=0)


@pytest.mark.parametrize(("age_s", "is_ready"), [(1, True), (20, False)])
def test_a_lost_engine_leaves_a_worker_ready_for_a_minute_counted_from_the_loss(age_s: int, is_ready: bool) -> None:
    assert (judge("ready", beat("connecting", "lost", 50_000), age_s) == "") is is_ready


def test_without_a_file_a_worker_is_dead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer("live", str(tmp_path)) == 1
    assert str(tmp_path / "health") in capsys.readouterr().err


def test_a_worker_that_begins_makes_the_last_one_s_beat_worthless(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.joinpath("health").write_text(beat())
    assert look("ready", str(folder)) == ""
    Heart(str(folder))
    assert look("live", str(folder)) == ""
    assert look("ready", str(folder)) == "it was not connected yet"


def test_of_several_workers_all_have_to_be_live_and_one_ready(tmp_path: Path) -> None:
    for number in range(3):
        Heart(str(tmp_path), number, is_first=number == 0)
    assert look("live", str(tmp_path)) == ""
    assert look("ready", str(tmp_path)) == "it was not connected yet"
    tmp_path.joinpath("health-2").write_text(beat())
    assert look("ready", str(tmp_path)) == ""
    os.utime(tmp_path / "health-1", (0, 0))
    assert look("live", str(tmp_path)).startswith("process 1: the last heartbeat is")


@pytest.mark.parametrize("question", ["live", "ready"])
def test_one_of_several_that_leaves_while_somebody_asks_makes_nobody_dead(tmp_path: Path, question: str) -> None:
    tmp_path.joinpath("health").write_text(beat())
    tmp_path.joinpath("health-1").symlink_to("gone")  # the folder was read before it went, the file afterwards
    assert look(question, str(tmp_path)) == ""
    tmp_path.joinpath("health").unlink()
    assert "there is no heartbeat" in look(question, str(tmp_path))


def test_the_first_of_several_removes_what_more_workers_have_left(tmp_path: Path) -> None:
    for name in ("health-1", "health-2", "health-x"):
        tmp_path.joinpath(name).touch()
    Heart(str(tmp_path), 1, is_first=False)
    Heart(str(tmp_path), 0, is_first=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["health", "health-x"]


def test_a_directory_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    with pytest.raises(CommandError, match="cannot be written"):
        Heart(str(tmp_path / "file"))


def test_the_answer_in_a_container_imports_nothing_but_what_it_needs(tmp_path: Path) -> None:
    """An exec probe is a process every few seconds for each container of a node: 20 ms of processor instead of 300."""
    Heart(str(tmp_path))
    program = (
        "import sys; before = set(sys.modules); sys.argv = ['worker', 'probe', 'live']\n"
        "from onward_cli.main import run\n"
        "try: run()\n"
        "except SystemExit as end: print(end.code, *(set(sys.modules) - before))"
    )
    environment = {**os.environ, "ONWARD_RUN_DIR": str(tmp_path)}
    command = [sys.executable, "-P", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    live, status, *imported = ended.stdout.split()
    assert (live, status) == ("live", "0")
    assert {name for name in imported if name.startswith("onward")} == LIGHT
    assert set(imported).isdisjoint(HEAVY)
    assert len(imported) < 10


def test_the_same_answer_comes_from_the_command_with_options(tmp_path: Path) -> None:
    Heart(str(tmp_path))
    assert CliRunner().invoke(app, ["live", "--run-dir", str(tmp_path)]).stdout == "live\n"
    assert CliRunner().invoke(app, ["ready", "--run-dir", str(tmp_path)]).exit_code == 1


def test_a_probe_that_does_not_know_where_to_look_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONWARD_RUN_DIR", raising=False)
    shown = CliRunner().invoke(app, ["live"])
    assert shown.exit_code == 2
    assert "ONWARD_RUN_DIR" in shown.stderr
