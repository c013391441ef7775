"""When a worker gets a supervisor, and what the two tell each other."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from onward.watch import Identity
from onward_cli.pulse import Pulse, PulseWatch, make_file, patience_ms
from onward_cli.speaker import Speaker
from onward_cli.supervisor import VARIABLE, is_wanted

from tests.support.processes import wait_for

posix = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="there are no supervisors here")


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    file = make_file()
    yield Pulse(file)
    os.close(file)


@posix
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "app"], True),
        (["run", "app", "--no-supervise"], False),
        (["run", "--no-supervise", "app", "--supervise"], True),
        (["run", "--help"], False),
        (["dev", "app"], False),
        ([], False),
    ],
)
def test_only_a_worker_that_runs_is_supervised(arguments: list[str], expected: bool) -> None:
    assert is_wanted(arguments) is expected


@posix
@pytest.mark.parametrize(("value", "expected"), [("0", False), ("false", False), ("1", True), ("", True)])
def test_the_environment_may_decide_it(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_SUPERVISE", value)
    assert is_wanted(["run", "app"]) is expected


def test_a_worker_below_a_supervisor_gets_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3 1")
    assert not is_wanted(["run", "app"])


def test_the_page_shows_what_the_loop_executes_now(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda _: b"")
    watch.runs_now(b"run_1\nshop/order\ncharge")
    assert pulse.now == [["run_1", "shop/order", "charge"]]
    watch.runs_now(b"")
    assert pulse.now == []


def test_while_the_loop_executes_nothing_it_may_be_any_step_in_a_thread(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda _: b"")
    for step in ("a", "b", "c"):
        watch.thread_began(f"run_1\nf\n{step}".encode())
    watch.thread_ended(b"run_1\nf\nb")
    assert [step for _, _, step in pulse.now] == ["a", "c"]


def test_names_of_any_length_fit(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda _: b"")
    watch.runs_now(b"run\nf\n" + "ä".encode() * 500)
    assert pulse.now[0][:2] == ["run", "f"]
    for n in range(100):
        watch.thread_began(f"run_{n}\nf\n{'x' * 250}".encode())
    watch.runs_now(b"")
    assert all(len(name) == 3 for name in pulse.now)


def test_the_newest_introduction_counts_and_one_that_is_too_long_does_not(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda who: who.session.encode())
    assert pulse.about == b""
    for session in ("first", "second", "third", "x" * 10_000):
        watch.met(Identity("wrk_a", session, 1, 5_000))
        assert pulse.about == (session if len(session) < 100 else "third").encode()


def test_a_loop_is_taken_for_blocked_after_three_seconds_at_the_default_beat() -> None:
    assert patience_ms(5_000) == 3_000


def test_stacks_of_pauses_too_short_to_be_told_of_do_not_pile_up(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda _: b"{}")
    watch.met(Identity("wrk_a", "secret", 1, 20))
    for _ in range(3):
        watch.tick()
        wait_for(lambda: os.fstat(pulse.file).st_size > 20_480, "the stack is there")
    faulthandler.cancel_dump_traceback_later()
    assert pulse.take_stack().count("most recent call first") <= len(sys._current_frames())


def test_a_supervisor_that_cannot_load_what_speaks_goes_on_without() -> None:
    reasons: list[str] = []
    about = {"instance": "wrk_a", "session": "s", "generation": 1, "beat_ms": 5_000, "url": "http://127.0.0.1:1"}
    speaker = Speaker({**about, "token": ""}, reasons.append)
    with pytest.MonkeyPatch.context() as broken:
        broken.setitem(sys.modules, "onward.connection.guard", None)
        speaker.start()
        speaker.say_bye("dead")
    speaker.release()
    assert "onward.connection.guard" in reasons[0]


def supervised(code: str, before: str = "pass") -> subprocess.Popen[str]:
    """A supervisor above a child that executes `code`; `before` is what the supervisor's process does first."""
    command = [sys.executable, "-c", code]
    above = f"import signal, sys; {before}; from onward_cli.supervisor import supervise; sys.exit(supervise({command}))"
    return subprocess.Popen([sys.executable, "-c", above], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@posix
def test_it_learns_how_its_child_ended_also_if_it_was_started_by_one_that_ignores_its_children() -> None:
    supervisor = supervised("raise SystemExit(8)", before="signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    assert (supervisor.communicate(timeout=20)[0], supervisor.returncode) == ("", 8)


@posix
def test_a_signal_without_a_name_ends_the_child_like_any_other() -> None:
    supervisor = supervised("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 5)")
    said, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 128 + signal.SIGRTMIN + 5
    assert "worker died" in said
    assert "Traceback" not in said


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_told_to_end_before_it_has_begun_ends_without_a_word(number: signal.Signals) -> None:
    supervisor = supervised("import time; print('here', flush=True); time.sleep(60)")
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "here\n"
    supervisor.send_signal(number)
    assert supervisor.communicate(timeout=20)[0] == ""
    assert supervisor.returncode == 128 + number
