"""The `worker` command as people and scripts use it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import ROOT, System, ledger_of, wait_for

APP = "tests.system.apps.office:functions"
HELP_S_MAX = 0.25


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An engine and a worker, shared: these tests only add runs."""
    with System(tmp_path_factory.mktemp("system")) as running:
        running.engine()
        running.worker(APP)
        wait_for(lambda: "] connected" in running.log("worker"), "the worker is connected")
        yield running


def worker(system: System, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; nothing of ours may show a traceback."""
    known = {"ONWARD_URL": system.url, "ONWARD_TOKEN_FILE": str(system.home / "admin.token")}
    ended = subprocess.run(
        [sys.executable, "-m", "onward", *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        cwd=ROOT,
        env={**os.environ, **known, "HOME_OF_TEST": str(system.home), **environment},
        timeout=30,
    )
    assert "Traceback" not in ended.stderr
    return ended


def sent(system: System, names: str) -> str:
    return worker(system, "send", "test/go", json.dumps({"names": names}), "-o", "id").stdout.strip()


def test_help_is_quick() -> None:
    """In processor time, which does not depend on what else the machine does."""
    script = Path(sys.executable).with_name("worker")
    times: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([script, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) <= HELP_S_MAX


def test_version_names_what_a_bug_report_needs(system: System) -> None:
    out = worker(system, "version").stdout
    assert out.startswith("onward ")
    assert "Python" in out


def test_an_event_is_sent_its_run_waited_for_and_shown(system: System) -> None:
    run = sent(system, "a b")
    waited = worker(system, "runs", "wait", run)
    assert (waited.returncode, waited.stdout) == (0, '"a b"\n')
    shown = json.loads(worker(system, "runs", "show", run, "-o", "json").stdout)
    assert (shown["id"], shown["status"], len(shown["history"])) == (run, "completed", 2)
    assert run in worker(system, "runs", "list").stdout
    assert run in worker(system, "runs", "list", "--status", "completed", "-o", "id").stdout.splitlines()


@pytest.mark.parametrize("how", ["@file", "-"])
def test_the_data_of_an_event_may_come_from_a_file_or_from_stdin(system: System, how: str) -> None:
    data = '{"names": "x"}'
    system.home.joinpath("event.json").write_text(data)
    source = f"@{system.home}/event.json" if how == "@file" else "-"
    run = worker(system, "send", "test/go", source, "-o", "id", stdin=data).stdout.strip()
    assert worker(system, "runs", "wait", run).stdout == '"x"\n'


def test_the_same_event_id_starts_nothing_twice(system: System) -> None:
    arguments = ("send", "test/go", '{"names": "once"}', "--id", "order-1", "-o", "id")
    assert worker(system, *arguments).stdout == worker(system, *arguments).stdout


def test_a_failed_run_ends_wait_with_1_and_its_error(system: System) -> None:
    run = system.client.start("test/failing", "no such thing").id
    waited = worker(system, "runs", "wait", run)
    assert (waited.returncode, waited.stdout) == (1, "")
    assert "ValueError: no such thing" in waited.stderr


def test_waiting_ends_with_7_when_time_is_up_and_the_run_can_be_cancelled(system: System) -> None:
    run = system.client.start("test/gated", "never-opened").id
    assert worker(system, "runs", "wait", run, "--timeout", "200ms").returncode == 7
    assert worker(system, "runs", "cancel", run).returncode == 0
    system.home.joinpath("never-opened").touch()
    assert "cancelled" in worker(system, "runs", "wait", run).stderr


def test_what_does_not_exist_ends_with_3(system: System) -> None:
    shown = worker(system, "runs", "show", "run_nowhere")
    assert (shown.returncode, shown.stdout) == (3, "")
    assert "run_nowhere" in shown.stderr


def test_data_that_is_not_json_is_a_wrong_use(system: System) -> None:
    refused = worker(system, "send", "test/go", "{names: x}")
    assert refused.returncode == 2
    assert "error[E0506]: the data is not JSON" in refused.stderr
    assert "help: " in refused.stderr


def test_an_event_that_is_too_large_is_refused_with_the_limit(system: System) -> None:
    system.home.joinpath("large.json").write_text(json.dumps({"names": "x" * (512 * 1024)}))
    refused = worker(system, "send", "test/go", f"@{system.home}/large.json")
    assert refused.returncode == 2
    assert "512 KiB are allowed" in refused.stderr


def test_a_wrong_token_ends_with_4(system: System) -> None:
    refused = worker(system, "runs", "list", ONWARD_TOKEN="wrong")
    assert refused.returncode == 4
    assert "ONWARD_TOKEN" in refused.stderr


def test_an_engine_that_cannot_be_reached_ends_with_5(system: System) -> None:
    refused = worker(system, "runs", "list", ONWARD_URL="http://127.0.0.1:9")
    assert refused.returncode == 5
    assert "worker dev" in refused.stderr


def test_a_token_is_not_sent_in_the_clear_to_another_machine(system: System) -> None:
    refused = worker(system, "run", APP, "--url", "http://engine.example:8484")
    assert refused.returncode == 2
    assert "unencrypted" in refused.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tests.system.apps.ofice:functions", "did you mean 'office'?"),
        ("tests.system.apps.office:function", "did you mean 'functions'?"),
        ("tests.system.apps.office:Path", "not something that a worker can load"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_with_8(system: System, target: str, said: str) -> None:
    refused = worker(system, "run", target)
    assert refused.returncode == 8
    assert said in refused.stderr


def test_two_functions_with_one_id_are_named_with_their_lines(system: System, tmp_path: Path) -> None:
    function = "@app.function(int, id='same')\nasync def {}(ctx) -> int:\n    return 1\n"
    text = "from onward import App\napp = App('twice')\n" + function.format("a") + function.format("b")
    tmp_path.joinpath("twice.py").write_text(text)
    refused = worker(system, "run", "twice:app", PYTHONPATH=str(tmp_path))
    assert refused.returncode == 8
    assert "two functions have the id 'twice/same'" in refused.stderr
    assert "twice.py:6" in refused.stderr


def test_a_second_engine_on_the_same_file_is_refused_and_the_first_goes_on(system: System) -> None:
    refused = worker(system, "engine", "start", "--port", "0", "--db", str(system.home / "onward.db"))
    assert refused.returncode == 6
    assert "in use by another engine" in refused.stderr
    assert system.answers()


def test_a_port_in_use_is_named(system: System, tmp_path: Path) -> None:
    refused = worker(system, "engine", "start", "--port", str(system.port), "--db", str(tmp_path / "other.db"))
    assert refused.returncode == 6
    assert f"Port {system.port}" in refused.stderr


def test_a_database_of_a_newer_schema_is_left_alone(system: System, tmp_path: Path) -> None:
    with System(tmp_path) as older:
        older.engine().send_signal(signal.SIGTERM)
        older.started[0].wait(10)
    path = tmp_path / "onward.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 999")
    database.close()
    before = path.read_bytes()
    refused = worker(system, "engine", "start", "--port", "0", "--db", str(path))
    assert refused.returncode == 6
    assert "schema 999" in refused.stderr
    assert path.read_bytes() == before


def has_socket(pid: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if os.readlink(link).startswith("socket:"):
                return True
    return False


def test_ctrl_c_ends_a_command_quietly(system: System) -> None:
    run = system.client.start("test/gated", "also-never").id
    wait_for(lambda: ledger_of(system.home)["begin also-never"] > 0, "the run waits")
    waiting = system.command("runs", "wait", run, log="waiting")
    wait_for(lambda: has_socket(waiting.pid), "it is connected")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(5) == 130
    assert "Traceback" not in system.log("waiting")


def test_the_database_of_engines_on_postgresql_is_looked_after(postgres_url: str, system: System) -> None:
    migrated = worker(system, "engine", "migrate", "--db", postgres_url)
    assert (migrated.returncode, ": schema " in migrated.stdout) == (0, True)
    checked = worker(system, "engine", "check", ONWARD_DB=postgres_url)
    assert (checked.returncode, checked.stdout.endswith(": no problems\n")) == (0, True)


def test_a_backup_of_postgresql_is_left_to_its_own_tool(system: System) -> None:
    ended = worker(system, "engine", "backup", "copy", "--db", "postgresql://me:s3cret@127.0.0.1/shop")
    assert (ended.returncode, "s3cret" in ended.stderr) == (2, False)
    assert "help: pg_dump --format=custom --schema=onward --file=copy" in ended.stderr


@pytest.mark.parametrize("command", ["check", "migrate", "start"])
def test_a_database_that_cannot_be_reached_is_one_sentence_without_the_password(system: System, command: str) -> None:
    ended = worker(system, "engine", command, "--db", "postgresql://me:s3cret@127.0.0.1:1/shop")
    assert (ended.returncode, "s3cret" in ended.stderr + ended.stdout) == (6, False)
    assert "the database shop at 127.0.0.1:1 cannot be reached" in ended.stderr
