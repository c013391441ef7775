"""When a worker gets a supervisor, and what the two tell each other."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from onward import App, Context, Worker
from onward.settings import Settings
from onward.watch import Identity
from onward_cli.child import VARIABLE
from onward_cli.pulse import Pulse, make_file, patience_ms
from onward_cli.pulse_watch import PulseWatch
from onward_cli.speaker import Speaker
from onward_cli.supervised import settings_for_guard
from onward_cli.supervisor import Supervisor, is_wanted

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from onward_cli.mailbox import Mailbox

posix = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="there are no supervisors here")


app = App("seen")


@app.function(str)
async def echo(ctx: Context[str]) -> str:
    return ctx.data


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    page = Pulse(make_file())
    yield page
    page.close()


@posix
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "app"], True),
        (["run", "app", "--no-supervise"], False),
        (["run", "--no-supervise", "app", "--supervise"], True),
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


def test_of_two_threads_that_begin_at_once_both_are_shown(pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, show, overtaken = PulseWatch(pulse, lambda _: b""), pulse.threads_run, threading.Event()

    def slowly(names: bytes) -> None:
        if b"\0" in names:
            overtaken.set()
        else:
            overtaken.wait(0.2)
        show(names)

    monkeypatch.setattr(pulse, "threads_run", slowly)
    both = [threading.Thread(target=watch.thread_began, args=(f"run_1\nf\n{step}".encode(),)) for step in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(pulse.now) == 2


def test_what_the_options_say_and_how_a_worker_ends_are_on_the_page(pulse: Pulse) -> None:
    assert (pulse.plan, pulse.has_left, pulse.has_told, pulse.idle_ms) == (b"", False, False, None)
    pulse.agree(b"[2]")
    pulse.tell()
    pulse.idle(0)
    assert (pulse.plan, pulse.has_left, pulse.has_told, pulse.idle_ms) == (b"[2]", False, True, 0)
    pulse.idle(None)
    assert pulse.idle_ms is None


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
    watch.left()


def test_a_loop_is_taken_for_blocked_after_three_seconds_at_the_default_beat() -> None:
    assert patience_ms(5_000) == 3_000


def test_stacks_of_pauses_too_short_to_be_told_of_do_not_pile_up(pulse: Pulse) -> None:
    watch = PulseWatch(pulse, lambda _: b"{}")
    watch.met(Identity("wrk_a", "secret", 1, 20))
    for _ in range(3):
        watch.tick()
        wait_for(lambda: os.fstat(pulse.file).st_size > 20_480, "the stack is there")
    watch.left()
    assert pulse.take_stack().count("most recent call first") <= len(sys._current_frames())


def test_a_supervisor_that_cannot_load_what_speaks_goes_on_without() -> None:
    reasons: list[str] = []
    about: dict[str, Any] = {"instance": "wrk_a", "session": "s", "generation": 1, "beat_ms": 5_000, "settings": {}}
    speaker = Speaker(about, reasons.append)
    with pytest.MonkeyPatch.context() as broken:
        broken.setitem(sys.modules, "onward.connection.guard", None)
        speaker.start()
        speaker.say_bye("dead")
    speaker.release()
    assert "onward.connection.guard" in reasons[0]


def test_a_supervisor_that_gets_no_thread_goes_on_without_speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take all workers with it, those that it cannot speak for and the others."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    reasons: list[str] = []
    speaker = Speaker({}, reasons.append)
    speaker.start()
    speaker.say_bye("dead")
    speaker.release()
    assert not speaker.is_speaking
    assert reasons == ["can't start new thread"]


def test_who_speaks_for_a_worker_reads_its_files_and_is_told_what_only_the_worker_knows(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = Settings.read({"HTTPS_PROXY": "http://proxy.test:3128"}, url="https://engine.test")
    from_file = Worker(echo, settings=settings.changed(token_file=str(file)))
    asked = Worker(echo, settings=settings, token=lambda: "onw_of_a_function")
    file.write_text("onw_renewed")
    for worker, token in ((from_file, "onw_renewed"), (asked, "onw_of_a_function")):
        told = msgspec.convert(msgspec.to_builtins(settings_for_guard(worker)), Settings)
        assert (told.url, told.token()) == ("https://engine.test", token)
        assert str(told.way.choice(told.url).proxy) == "http://proxy.test:3128"


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


@posix
def test_nobody_speaks_for_a_worker_that_has_left_right_after_a_standstill() -> None:
    """Its runs are others' by then, and a supervisor of several, or of code that changes, lives on."""
    worker = """
import os, socket, msgspec
from onward.settings import Settings
from onward_cli.child import VARIABLE
from onward_cli.pulse import Pulse
engine = socket.create_server(("127.0.0.1", 0))
settings = Settings.read({}, url=f"http://127.0.0.1:{engine.getsockname()[1]}")
about = {"instance": "wrk_a", "session": "s", "generation": 1, "beat_ms": 500, "stall_max_ms": 60_000}
pulse = Pulse(int(os.environ[VARIABLE].split()[0]))
pulse.tick()
pulse.introduce(msgspec.json.encode({**about, "settings": settings}))
engine.accept()
pulse.leave()
"""
    above = f"""
import sys, threading
from onward_cli.supervisor import supervise
supervise([sys.executable, "-c", {worker!r}])
guards = [thread for thread in threading.enumerate() if thread.name == "guard"]
for guard in guards: guard.join(5)
print(sum(guard.is_alive() for guard in guards))
"""
    said = subprocess.run([sys.executable, "-c", above], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "0\n"


@posix
def test_the_error_that_ended_all_is_the_status_also_if_the_signal_meets_another_one_on_its_way_out(
    tmp_path: Path,
) -> None:
    """Both were refused; the second one is on its way out when it is asked to end, and has no handlers any more."""
    worker = f"""
import os, time
from pathlib import Path
from onward_cli.child import VARIABLE
from onward_cli.plan import Plan
from onward_cli.pulse import Pulse
file, _, number, _ = os.environ[VARIABLE].split()
second = Path({str(tmp_path)!r}, "second")
pulse = Pulse(int(file))
pulse.agree(Plan(processes=2).encode())
pulse.introduce(b'{{"beat_ms": 5000}}')
pulse.tell()
pulse.leave()
if number == "1":
    second.touch()
    time.sleep(60)
while not second.exists(): time.sleep(0.01)
raise SystemExit(4)
"""
    supervisor = supervised(worker)
    assert (supervisor.communicate(timeout=20)[0], supervisor.returncode) == ("", 4)


@posix
def test_a_machine_without_room_for_another_process_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory is short: to end would end the workers that are there, too."""
    supervisor = Supervisor(cast("Mailbox", None), [sys.executable, "-c", "pass"])

    def refuse(*args: object, **kwargs: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", refuse)
    files = set(os.listdir("/dev/fd"))
    supervisor._start(0)
    assert set(os.listdir("/dev/fd")) == files
    assert supervisor._succession


@pytest.mark.skipif(sys.platform != "linux", reason="asks to be the parent of orphans")
def test_the_first_process_of_a_container_lets_go_of_dead_strangers_and_not_of_its_children() -> None:
    program = """
import ctypes, os, time
from onward_cli.child import reap_strangers
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
reading, writing = os.pipe()
if (parent := os.fork()) == 0:
    if os.fork() == 0:
        os.write(writing, f"{os.getpid()}".encode())
    os._exit(0)
stranger = int(os.read(reading, 100))
os.waitpid(parent, 0)
if (child := os.fork()) == 0:
    time.sleep(60)
while os.path.exists(f"/proc/{stranger}"):
    reap_strangers([child])
    time.sleep(0.01)
os.kill(child, 9)
while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT): pass
reap_strangers([child])
print(os.waitpid(child, 0)[0] == child)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "True\n"
