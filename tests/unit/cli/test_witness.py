"""Who says where a worker's threads are, while its event loop does not turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from onward_cli.pulse import Pulse, make_file
from onward_cli.witness import Witness, ask, without_witness

from tests.support.processes import wait_for

PATIENCE_MS = 20

CHANGING = """
import sys, time
from onward_cli.pulse import Pulse
from onward_cli.witness import Witness

def depth(calls):
    return 1 + depth(calls - 1) if calls else 0

pulse = Pulse(int(sys.argv[1]))
pulse.tick()
Witness(pulse).watch(1)
end = time.monotonic() + 2
while time.monotonic() < end:
    depth(300)
"""

HELD = """
import ctypes, sys, time
from onward_cli.pulse import Pulse
from onward_cli.witness import Witness

pulse = Pulse(int(sys.argv[1]))
pulse.tick()
Witness(pulse).watch(500)
while not pulse.witness:
    time.sleep(0.001)

def hold():
    pulse.runs_now(b"hold")
    ctypes.PyDLL(None).sleep(60)

hold()
"""


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    page = Pulse(make_file())
    yield page
    page.close()


def other(program: str, pulse: Pulse) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, str(pulse.file)], pass_fds=[pulse.file])


def taken(pulse: Pulse) -> str:
    """Wait for a stack."""
    found: list[str] = []

    def has_come() -> bool:
        found.append(pulse.take_stack())
        return bool(found[-1])

    wait_for(has_come, "a stack")
    return found[-1]


def test_stacks_are_written_once_the_loop_stands_still(pulse: Pulse) -> None:
    pulse.tick()
    witness = Witness(pulse)
    witness.watch(PATIENCE_MS)
    said = without_witness(taken(pulse))
    witness.leave()
    assert test_stacks_are_written_once_the_loop_stands_still.__name__ in said
    assert "witness.py" not in said.replace("test_witness.py", "")


def test_writing_the_stacks_of_threads_that_compute_harms_nobody(pulse: Pulse) -> None:
    """Some thousand times, while the stack is another one at every moment."""
    process = other(CHANGING, pulse)
    assert "most recent call first" in taken(pulse)
    assert process.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="there, threads cannot be asked")
def test_whoever_holds_the_interpreter_is_shown_if_asked_for(pulse: Pulse) -> None:
    process = other(HELD, pulse)
    try:
        wait_for(lambda: pulse.is_on_loop and pulse.age_ms > 600, "it holds the interpreter")
        assert pulse.take_stack() == "", "the witness waits for it"
        ask(process.pid, pulse.witness)
        assert "in hold" in without_witness(taken(pulse))
        assert process.poll() is None, "its system call goes on"
    finally:
        process.kill()
        process.wait()


def test_a_witness_that_cannot_be_asked_is_not() -> None:
    ask(os.getpid(), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="there, threads cannot be asked")
def test_a_signal_that_the_users_code_uses_is_left_to_it(pulse: Pulse) -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGURG, lambda number, frame: heard.set())
    try:
        pulse.tick()
        witness = Witness(pulse)
        witness.watch(PATIENCE_MS)
        assert taken(pulse)
        witness.leave()
        assert pulse.witness == 0
        os.kill(os.getpid(), signal.SIGURG)
        assert heard.wait(5)
    finally:
        signal.signal(signal.SIGURG, before)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        (
            "Current thread 0x1 (most recent call first):\n  w\n\nThread 0x2 (most recent call first):\n  a",
            "Thread 0x2",
        ),
        ("Thread 0x2 (x):\n  a\n\nCurrent thread 0x1 (x):\n  w\n\nThread 0x3 (x):\n  b", "Thread 0x2"),
        ("Current thread 0x1 (x):\n  w\nFatal Python error: Aborted\n\nCurrent thread 0x3 (x):\n  a", "Fatal Python"),
    ],
)
def test_the_witness_does_not_speak_of_itself(text: str, said: str) -> None:
    shown = without_witness(text)
    assert shown.startswith(said)
    assert "\n  w" not in shown
