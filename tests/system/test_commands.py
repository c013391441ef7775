"""The commands over a real engine and a real worker: what they print, what scripts read of it, and how they end.

Most run in the test's own process, where nothing differs but the time that it takes to start one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from onward import Event, SyncClient
from onward_cli.commands import app
from typer.testing import CliRunner

from tests.support.processes import ROOT, System, wait_for

EVENT = "cmd/order.placed"


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Shop:
    """An engine, a worker, and runs of several kinds."""

    system: System
    runs: dict[str, str] = field(default_factory=dict[str, str])
    event: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"ONWARD_URL": self.system.url, "ONWARD_TOKEN_FILE": str(self.system.home / "admin.token")}

    def worker(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """Run a command in this process; nothing of ours may escape from it."""
        ended = CliRunner().invoke(app, arguments, input=stdin, env={**self.environment, **environment})
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    def process(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "onward", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, function: str, data: object) -> str:
        return self.system.client.start(f"cmd/{function}", data).id

    def waiting(self, name: str) -> str:
        """Start a run and return it when it waits for a signal of this name."""
        run = self.start("approval", name)
        wait_for(lambda: self.system.client.get_run(run).status == "parked", "the run waits")
        return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with System(tmp_path_factory.mktemp("commands")) as system:
        system.engine()
        system.worker("tests.system.apps.shop:functions")
        shop = Shop(system)
        [sent] = system.client.send(Event(EVENT, {"customer": "ann", "total": 7}, key="k1"))
        shop.event, shop.runs["order"] = sent.id, sent.runs[0].id
        sent.runs[0].result(timeout="30s")
        shop.runs["failed"] = shop.start("failing", "broken")
        system.client.wait(shop.runs["failed"], timeout="30s")
        yield shop


# -- runs: list, show, wait --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "failed order"),
        (["--status", "failed"], "failed"),
        (["--status", "failed,completed", "--since", "1h"], "failed order"),
        (["--function", "cmd/order"], "order"),
        (["--event", EVENT], "order"),
        (["--key", "k1"], "order"),
        (["--tag", "customer=ann"], "order"),
        (["--where", "run.output.total == 7"], "order"),
        (["--until", "2020-01-01"], ""),
        (["--ended-since", "1h", "--status", "failed"], "failed"),
    ],
)
def test_runs_are_listed_as_the_options_say(shop: Shop, options: list[str], expected: str) -> None:
    ids = shop.worker("runs", "list", "-o", "id", *options).out.split()
    names = {id: name for name, id in shop.runs.items()}
    assert [names[id] for id in ids if id in names] == expected.split()


def test_a_table_is_for_people(shop: Shop) -> None:
    lines = shop.worker("runs", "list", "--function", "cmd/order").out.splitlines()
    assert lines[0].split() == ["ID", "FUNCTION", "STATUS", "STEPS", "CREATED", "TOOK"]
    assert lines[1].split()[:3] == [shop.runs["order"], "cmd/order", "completed"]


RUN_FIELDS = {
    *("id", "function", "status", "attempt", "steps", "strikes", "worker", "tags", "origin", "version", "paused"),
    *("created_at_ms", "started_at_ms", "ended_at_ms"),
}
SHOWN_FIELDS = {
    *RUN_FIELDS,
    *("events", "input", "output", "output_bytes", "error", "cancel_reason", "skip_reason", "parent"),
    *("waiting_for", "progress"),
    "history",
}
STEP_FIELDS = {
    *("key", "kind", "status", "attempts", "at_ms", "took_ms", "output", "error", "began_at_ms", "about"),
}


def test_the_fields_that_scripts_read_of_runs_stay_the_same(shop: Shop) -> None:
    [listed] = shop.worker("runs", "list", "--function", "cmd/order", "-o", "json").json
    assert set(listed) == RUN_FIELDS
    shown = shop.worker("runs", "show", shop.runs["order"], "-o", "json").json
    assert set(shown) == SHOWN_FIELDS
    assert {frozenset(step) for step in shown["history"]} == {frozenset(STEP_FIELDS)}


def test_json_lines_have_a_run_each(shop: Shop) -> None:
    lines = shop.worker("runs", "list", "-o", "jsonl").lines
    assert {shop.runs["order"], shop.runs["failed"]} <= {line["id"] for line in lines}


def test_no_more_runs_are_listed_than_were_asked_for(shop: Shop) -> None:
    assert len(shop.worker("runs", "list", "--limit", "1", "-o", "id").out.split()) == 1


def test_a_run_is_shown_with_its_steps(shop: Shop) -> None:
    out = shop.worker("runs", "show", shop.runs["order"]).out
    assert 'tags      {"customer": "ann"}' in out
    assert "charge@0#0" in out


def test_a_failed_run_is_shown_with_its_error(shop: Shop) -> None:
    assert "ValueError: broken" in shop.worker("runs", "show", shop.runs["failed"]).out


def test_a_run_that_waits_is_shown_with_what_for_and_until_when(shop: Shop) -> None:
    out = shop.worker("runs", "show", shop.waiting("in-a-month")).out
    until = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m}"
    assert re.search(rf"signal +waiting +.*in-a-month until {until}", out)


def test_the_output_of_a_run_is_waited_for(shop: Shop) -> None:
    ended = shop.worker("runs", "wait", shop.runs["order"])
    assert (ended.status, ended.json) == (0, {"total": 7, "receipt": "paid 7"})


def test_waiting_for_a_failed_run_ends_with_1(shop: Shop) -> None:
    ended = shop.worker("runs", "wait", shop.runs["failed"])
    assert (ended.status, ended.out) == (1, "")
    assert "error[E0303]" in ended.err


def test_waiting_too_long_ends_with_7(shop: Shop) -> None:
    assert shop.worker("runs", "wait", shop.waiting("never-1"), "--timeout", "50ms").status == 7


# -- runs: tail, trace, export -----------------------------------------------------------------------------------------


def test_tail_shows_each_step_as_it_finishes_and_ends_with_the_run(shop: Shop) -> None:
    names = ["one", "two", "three"]
    run = shop.start("gates", names)
    tail = shop.process("runs", "tail", run)
    assert tail.stdout is not None
    for count, name in enumerate(names):
        shop.system.home.joinpath(name).touch()
        line = tail.stdout.readline()  # comes before the next step may end
        assert line.split()[1:] == ["completed", "step", f"wait_for_file@0#{count}", line.split()[-1]]
    out, err = tail.communicate(timeout=30)
    assert (tail.returncode, out, err) == (0, "", f"run {run} completed\n")


def test_tail_of_a_run_that_is_over_shows_all_of_it_and_ends_as_it_did(shop: Shop) -> None:
    ended = shop.worker("runs", "tail", shop.runs["order"], "-o", "jsonl")
    last = {line["key"]: line["status"] for line in ended.lines}
    assert list(last.values()) == ["completed"] * 4
    assert shop.worker("runs", "tail", shop.runs["failed"], "-q").status == 1


def test_trace_draws_queue_attempts_sleeps_and_children(shop: Shop) -> None:
    lines = shop.worker("runs", "trace", shop.runs["order"], "--width", "90").out.splitlines()
    assert lines[0].startswith(f"{shop.runs['order']}  cmd/order  completed  ")
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == ["(queue)", "charge@0#0", "flaky@0#0", "breath@0#0", "invoke:cmd/receipt@0#0"]
    assert "2 attempts" in lines[3]
    assert "sleep" in lines[4]
    assert "cmd/receipt run_" in lines[5]


def test_export_writes_a_run_with_its_history_as_one_line(shop: Shop) -> None:
    [line] = shop.worker("runs", "export", shop.runs["order"]).lines
    assert (set(line), len(line["history"])) == (SHOWN_FIELDS, 4)


def test_export_takes_the_same_options_as_list(shop: Shop) -> None:
    lines = shop.worker("runs", "export", "--status", "failed", "--function", "cmd/failing").lines
    assert shop.runs["failed"] in [line["id"] for line in lines]
    refused = shop.worker("runs", "export")
    assert (refused.status, refused.out) == (2, "")


# -- runs: change ------------------------------------------------------------------------------------------------------


def test_a_run_is_cancelled(shop: Shop) -> None:
    run = shop.waiting("never-2")
    assert shop.worker("runs", "cancel", run, "--now", "--reason", "a mistake").status == 0
    shown = shop.worker("runs", "show", run, "-o", "json").json
    assert (shown["status"], shown["cancel_reason"]) == ("cancelled", "a mistake")
    assert shop.worker("runs", "cancel", run).status == 6


def test_many_runs_are_counted_first_and_cancelled_with_yes(shop: Shop) -> None:
    runs = [shop.waiting("never-3") for _ in range(3)]
    which = ["--status", "parked", "--where", 'run.input == "never-3"']
    counted = shop.worker("runs", "cancel", *which, "-o", "json")
    assert (counted.status, counted.json["runs"], counted.json["done"]) == (2, 3, False)
    assert set(counted.json["sample"]) == set(runs)
    assert "--yes" in counted.err
    assert shop.system.client.get_run(runs[0]).status == "parked"
    assert shop.worker("runs", "cancel", *which, "--yes").status == 0
    for run in runs:
        assert shop.system.client.wait(run, timeout="30s").status == "cancelled"


def test_nothing_is_changed_when_nobody_says_which_runs(shop: Shop) -> None:
    for command in ("cancel", "rerun"):
        refused = shop.worker("runs", command, "--yes")
        assert (refused.status, refused.out) == (2, "")
        assert "error[E0508]" in refused.err


def test_a_run_and_a_filter_at_once_are_refused(shop: Shop) -> None:
    assert "error[E0509]" in shop.worker("runs", "cancel", shop.runs["order"], "--status", "failed").err


def test_a_run_is_started_again(shop: Shop) -> None:
    again = shop.worker("runs", "rerun", shop.runs["order"], "-o", "json").json
    assert again["origin"] == shop.runs["order"]
    assert shop.worker("runs", "wait", again["id"]).json["total"] == 7


def test_the_same_request_starts_a_run_again_only_once(shop: Shop) -> None:
    arguments = ("runs", "rerun", shop.runs["order"], "--request", "r1", "-o", "id")
    assert shop.worker(*arguments).out == shop.worker(*arguments).out


def test_a_run_is_forked_from_a_step(shop: Shop) -> None:
    new = shop.worker("runs", "fork", shop.runs["order"], "--from", "flaky", "-o", "id").out.strip()
    assert shop.worker("runs", "wait", new).json["receipt"] == "paid 7"
    assert shop.worker("runs", "show", new, "-o", "json").json["origin"] == shop.runs["order"]


def test_a_fork_from_a_step_that_is_not_there_names_those_that_are(shop: Shop) -> None:
    refused = shop.worker("runs", "fork", shop.runs["order"], "--from", "nothing")
    assert refused.status == 6
    assert "charge@0#0" in refused.err


def test_a_run_is_held_and_goes_on(shop: Shop) -> None:
    run = shop.waiting("held")
    assert shop.worker("runs", "pause", run, "-q").err == ""
    assert "(paused)" in shop.worker("runs", "show", run).out
    assert shop.worker("runs", "resume", run).status == 0
    assert not shop.worker("runs", "show", run, "-o", "json").json["paused"]


# -- events, functions, schedules, signals, workers --------------------------------------------------------------------


def test_events_are_listed_and_shown(shop: Shop) -> None:
    assert shop.worker("events", "list", "--key", "k1", "-o", "id").out.split() == [shop.event]
    shown = shop.worker("events", "show", shop.event, "-o", "json").json
    assert shown["data"] == {"customer": "ann", "total": 7}
    assert shop.runs["order"] in [run["id"] for run in shown["runs"]]
    assert EVENT in shop.worker("events", "show", shop.event).out


def test_the_fields_that_scripts_read_of_events_stay_the_same(shop: Shop) -> None:
    [listed] = shop.worker("events", "list", "--key", "k1", "-o", "json").json
    assert set(listed) == {"id", "name", "key", "ts_ms", "received_at_ms", "run_count"}
    shown = shop.worker("events", "show", shop.event, "-o", "json").json
    assert set(shown) == {"id", "name", "key", "ts_ms", "meta", "data", "data_bytes", "runs"}


def test_functions_are_listed_and_shown(shop: Shop) -> None:
    assert "cmd/order" in shop.worker("functions", "list", "-o", "id").out.split()
    shown = shop.worker("functions", "show", "cmd/order", "-o", "json").json
    assert (shown["triggers"], shown["paused"]) == ([EVENT], False)


def test_a_function_is_invoked_and_its_output_printed(shop: Shop) -> None:
    assert shop.worker("functions", "invoke", "cmd/receipt", "3", "--wait").json == "paid 3"
    assert shop.worker("functions", "invoke", "cmd/receipt", "-", "--wait", stdin="4").json == "paid 4"
    assert shop.worker("functions", "invoke", "cmd/failing", '"x"', "--wait").status == 1


def test_who_presses_ctrl_c_while_waiting_is_told_which_run_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(client: SyncClient, id: str, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SyncClient, "wait", wait)
    ended = shop.worker("functions", "invoke", "cmd/receipt", "7", "--wait")
    [run] = shop.worker("runs", "list", "--function", "cmd/receipt", "--limit", "1", "-o", "id").out.split()
    assert (ended.status, ended.out) == (130, "")
    assert f"worker runs wait {run}" in ended.err


def test_a_function_is_invoked_once_for_one_id(shop: Shop) -> None:
    arguments = ("functions", "invoke", "cmd/receipt", "5", "--id", "five", "-o", "id")
    assert shop.worker(*arguments).out == shop.worker(*arguments).out


def test_a_paused_function_begins_nothing_until_it_is_resumed(shop: Shop) -> None:
    assert shop.worker("functions", "pause", "cmd/receipt").status == 0
    run = shop.worker("functions", "invoke", "cmd/receipt", "6", "-o", "id").out.strip()
    assert "paused" in shop.worker("functions", "list").out
    assert shop.worker("runs", "wait", run, "--timeout", "100ms").status == 7
    assert shop.worker("functions", "resume", "cmd/receipt").status == 0
    assert shop.worker("runs", "wait", run).json == "paid 6"


def test_schedules_are_listed_paused_and_resumed(shop: Shop) -> None:
    assert shop.worker("schedules", "list", "-o", "json").json[0]["expression"] == "0 0 1 1 *"
    shop.worker("schedules", "pause", "cmd/yearly")
    assert shop.worker("schedules", "list", "--function", "cmd/yearly", "-o", "json").json[0]["paused"]
    shop.worker("schedules", "resume", "cmd/yearly")
    assert "active" in shop.worker("schedules", "list").out


def test_past_ticks_are_counted_first_and_started_with_yes(shop: Shop) -> None:
    which = ("schedules", "backfill", "cmd/yearly", "--since", "2024-06-01", "--until", "2026-06-01")
    counted = shop.worker(*which)
    assert (counted.status, len(counted.out.splitlines())) == (2, 3)
    assert shop.worker(*which, "--yes").status == 0
    again = shop.worker(*which, "-o", "jsonl")
    assert [tick["new"] for tick in again.lines] == [False, False]


def test_a_signal_wakes_the_run_that_waits_for_it(shop: Shop) -> None:
    run = shop.waiting("ok-1")
    assert shop.worker("signals", "send", "ok-1", '{"by": "me"}', "-o", "id").out.strip() == run
    assert shop.worker("runs", "wait", run).json == {"by": "me"}


def test_a_signal_that_nobody_waits_for_is_not_found(shop: Shop) -> None:
    refused = shop.worker("signals", "send", "nobody")
    assert (refused.status, "error[E0422]" in refused.err) == (3, True)


def test_workers_are_listed(shop: Shop) -> None:
    [one] = shop.worker("workers", "list", "-o", "json").json
    assert (one["apps"], one["draining"]) == (["cmd"], False)


def test_a_delayed_event_is_listed_and_taken_back(shop: Shop) -> None:
    assert "it comes in later" in shop.worker("send", "cmd/later", "--id", "later-1", "--delay", "1h").err
    assert shop.worker("events", "delayed", "-o", "id").out.split() == ["later-1"]
    assert shop.worker("events", "take-back", "later-1").status == 0
    assert shop.worker("events", "delayed", "-o", "id").out == ""


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["runs", "show", "run_nowhere"], 3, "E0411"),
        (["runs", "tail", "run_nowhere"], 3, "E0411"),
        (["runs", "trace", "run_nowhere"], 3, "E0411"),
        (["events", "show", "evt_nowhere"], 3, "E0420"),
        (["functions", "show", "cmd/nothing"], 3, "E0412"),
        (["functions", "invoke", "cmd/nothing"], 3, "E0412"),
        (["functions", "invoke", "cmd/receipt", "{"], 2, "E0506"),
        (["schedules", "pause", "cmd/order"], 3, "E0427"),
        (["runs", "list", "--status", "happy"], 2, "E0416"),
        (["runs", "list", "--where", "run.outptu > 1"], 2, "E0419"),
        (["events", "take-back", "nothing"], 3, "E0428"),
    ],
)
def test_an_error_is_one_line_with_a_code_and_one_action(
    shop: Shop, arguments: list[str], status: int, code: str
) -> None:
    ended = shop.worker(*arguments)
    first, *rest = ended.err.splitlines()
    assert (ended.status, ended.out) == (status, "")
    assert first.startswith(f"error[{code}]: ")
    assert [line.split(":")[0] for line in rest if not line.startswith(" -->")] == ["help"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "list", "--since", "yesterday"], "'yesterday' is no time"),
        (["runs", "list", "--tag", "vip"], "a tag is written key=value"),
        (["runs", "show", ""], "it is empty"),
        (["send", "x", "--delay", "soon"], "write it like 90s"),
        (["send", "x", "--at", "soon"], "'soon' is no time"),
        (["runs", "lst"], "did you mean 'list'?"),
        (["function", "list"], "did you mean 'functions'?"),
        (["runs", "list", "--limit", "0"], "--limit"),
    ],
)
def test_a_wrong_word_ends_with_2_and_what_is_meant(shop: Shop, arguments: list[str], words: str) -> None:
    ended = shop.worker(*arguments)
    assert ended.status == 2
    assert words in ended.err


def test_a_name_that_is_almost_right_is_guessed(shop: Shop) -> None:
    assert "did you mean cmd/order?" in shop.worker("functions", "show", "cmd/oder").err
    assert "did you mean cmd/order?" in shop.worker("functions", "invoke", "order").err
    assert "did you mean cmd/order.placed?" in shop.worker("send", "cmd/order.place").err
    cut = shop.runs["failed"][:-3]
    assert f"did you mean {shop.runs['failed']}?" in shop.worker("runs", "show", cut).err


def test_a_wrong_token_ends_with_4_and_a_wrong_address_with_5(shop: Shop) -> None:
    assert shop.worker("events", "list", ONWARD_TOKEN="wrong").status == 4
    assert shop.worker("functions", "list", ONWARD_URL="http://127.0.0.1:9").status == 5


def test_watching_shows_it_again_until_somebody_presses_ctrl_c(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("onward_cli.repeating.time.sleep", sleep)
    ended = shop.worker("workers", "list", "--watch", "-o", "id")
    assert (ended.status, pauses) == (130, [2.0, 2.0])
    assert len(ended.out.split()) == 2
