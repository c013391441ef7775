"""Things that happen to people: a log that nobody reads, a typo, an event that nothing waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from onward import Event

from tests.support.processes import ROOT, System, wait_for

APP = "tests.system.apps.office:functions"
PAGE = 200  # runs that the engine lists at a time

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("system")) as running:
        running.engine()
        running.worker(APP)
        yield running


def call(system: System, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    known = {"ONWARD_URL": system.url, "ONWARD_TOKEN_FILE": str(system.home / "admin.token")}
    command = [sys.executable, "-m", "onward", *arguments]
    ended = subprocess.run(
        command, check=False, capture_output=True, input=stdin, cwd=ROOT, env={**os.environ, **known}, timeout=30
    )
    return subprocess.CompletedProcess(command, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def unread(arguments: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Start a process whose output goes into a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.Popen(arguments, stdout=writer, stderr=writer, **options)  # type: ignore[call-overload]
    os.close(writer)
    assert isinstance(child, subprocess.Popen)
    return child


def closed(arguments: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Start a process with neither stdin nor stdout nor stderr."""
    child = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *arguments], **options)  # type: ignore[call-overload]
    assert isinstance(child, subprocess.Popen)
    return child


@pytest.mark.parametrize("start", [unread, closed])
def test_engine_and_worker_do_not_need_anybody_to_read_what_they_say(tmp_path: Path, start: Start) -> None:
    with System(tmp_path) as system:
        tmp_path.joinpath("admin.token").write_text("onw_admin_test")
        known = {"ONWARD_URL": system.url, "ONWARD_TOKEN": system.token, "HOME_OF_TEST": str(tmp_path)}
        for arguments in (
            ["engine", "start", "--port", str(system.port), "--db", str(tmp_path / "onward.db")],
            ["run", APP],
        ):
            command = [sys.executable, "-m", "onward", *arguments]
            system.started.append(start(command, cwd=ROOT, env={**os.environ, **known}))
        wait_for(lambda: system.answers() and len(system.client.list_workers()) == 1, "both have started")
        assert system.client.run("test/state_of_worker", "x", timeout="10s") == "the pool"
        engine, worker = system.started
        worker.terminate()
        engine.terminate()
        assert (worker.wait(10), engine.wait(10)) == (0, 0)


def test_a_failed_run_is_seen_in_the_log_of_its_worker(system: System) -> None:
    run = system.client.start("test/failing", "no such thing").id
    system.client.wait(run, timeout="10s")
    log = system.log("worker")
    assert f"run {run} of test/failing failed: ValueError: no such thing" in log
    assert "office.py" in log  # the traceback leads to the line


def test_an_event_that_starts_nothing_is_stored_with_a_note(system: System) -> None:
    sent = call(system, "send", "test/typo", "{}")
    assert sent.returncode == 0
    assert "no function that the engine knows starts at 'test/typo'" in sent.stderr


def test_as_many_runs_are_listed_as_were_asked_for(system: System) -> None:
    system.client.send(*(Event("test/go", {"names": ""}) for _ in range(PAGE + 1)))
    assert len(call(system, "runs", "list", "--limit", str(PAGE + 1), "-o", "id").stdout.splitlines()) == PAGE + 1


def test_as_many_delayed_events_are_listed_as_were_asked_for(system: System) -> None:
    system.client.send(*(Event("test/later", {"names": ""}, delay_ms=3_600_000) for _ in range(PAGE + 1)))
    shown = call(system, "events", "delayed", "--limit", str(PAGE + 1), "-o", "id")
    assert len(shown.stdout.splitlines()) == PAGE + 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["runn"], 2, "did you mean 'run'?"),
        (["runs", "show", ""], 2, "RUN: it is empty"),
        (["runs", "wait", "run_x", "--timeout", "soon"], 2, "'soon' is not a duration"),
        (["runs", "list", "--url", "http://127.0.0.1:port"], 2, "is no URL"),
        (["engine", "start", "--port", "99999"], 2, "99999"),
        (["engine", "start", "--db", "mysql://root@db/onward"], 2, "in a file or in postgresql://"),
        (["dev", APP, "--concurrency", "0"], 2, "--concurrency is 1 to 10000"),
        (["dev", "app.py"], 2, "did you mean 'app'?"),
        (["run", "app.py", "--reload"], 2, "did you mean 'app'?"),
        (["run", APP, "--checkpoint", "nonsense"], 2, "option 'checkpoint': 'nonsense' is none of the presets"),
        (["dev", APP, "--checkpoint", "window=all"], 2, "option 'checkpoint': window is a whole number"),
        (["send", "test/go", "-"], 2, "'stdin' is not UTF-8"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(system: System, arguments: list[str], status: int, said: str) -> None:
    ended = call(system, *arguments, stdin=b'"\xe9"')
    assert (ended.returncode, said in ended.stderr) == (status, True)
    assert "E0999" not in ended.stderr


def test_a_file_that_is_no_database_gets_no_company(system: System, tmp_path: Path) -> None:
    mine = tmp_path / "letter.txt"
    mine.write_text("Dear Sir or Madam")
    assert call(system, "engine", "start", "--port", "0", "--db", str(mine)).returncode == 6
    assert mine.read_text() == "Dear Sir or Madam"
    assert not tmp_path.joinpath("admin.token").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_command_whose_output_finds_no_room_says_so() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "onward", "errors", "E0401"]
        ended = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, timeout=30)
    assert (ended.returncode, b"error[E0518]: nothing can be written" in ended.stderr) == (75, True)


def test_a_command_ends_with_its_status_also_if_its_errors_go_nowhere() -> None:
    command = [sys.executable, "-m", "onward", "errors", "E9999"]
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command], check=False, stdout=subprocess.PIPE, cwd=ROOT, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (3, b"")
