"""How a process that serves comes to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LATE = """
import os, signal
from onward_cli.loops import Signals, run_loop

async def main():
    Signals(print, print)

run_loop(main())
os.kill(os.getpid(), signal.SIGTERM)
"""

BUSY = """
import asyncio, time
from onward_cli.loops import leave, run_loop

async def main():
    body = asyncio.create_task(asyncio.to_thread(time.sleep, 60))
    await asyncio.sleep(0)
    assert not body.done()

run_loop(main())
leave(3)
"""


LEFT = """
import asyncio, sys
from onward_cli.loops import leave, run_loop

async def left_behind():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            print("told", file=sys.stderr)
            HOW

async def main():
    body = asyncio.create_task(left_behind())
    await asyncio.sleep(0)

run_loop(main())
leave(3)
"""

FULL = """
import sys
from onward_cli.loops import leave_now

sys.stdout = open("/dev/full", "w")
print("kept in memory until it is flushed")
leave_now(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal to send")
def test_a_signal_between_the_end_of_the_loop_and_that_of_the_process_changes_nothing() -> None:
    assert ending_of(LATE) == (0, "")


def test_nobody_waits_at_the_end_for_a_thread_that_the_user_s_code_has_started() -> None:
    """The work is somebody else's by then."""
    assert ending_of(BUSY) == (3, "")


@pytest.mark.parametrize("how", ["raise", "continue"])
def test_what_is_left_on_the_loop_is_told_to_end_and_not_waited_for_if_it_does_not(how: str) -> None:
    assert ending_of(LEFT.replace("HOW", how)) == (3, "told\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_keeps_no_process_from_leaving() -> None:
    assert ending_of(FULL) == (3, "")


def ending_of(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stderr
