"""One worker process, as it is seen from its supervisor."""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from onward_cli.fates import Ending
from onward_cli.plan import Plan
from onward_cli.pulse import Pulse, make_file, patience_ms
from onward_cli.witness import ask

if TYPE_CHECKING:
    from onward_cli.speaker import Speaker

VARIABLE = "ONWARD_SUPERVISOR"
"""Tells a worker that it has a supervisor: the page's descriptor, who that is, the worker's number among all, and
whether it is the first, which has the place to itself.
"""


class Child:
    """A process that was started with `command`; raises `OSError` if it cannot be. Whoever takes its place has its
    `number`.
    """

    def __init__(self, command: list[str], number: int, *, is_first: bool) -> None:
        file = make_file()
        os.set_inheritable(file, True)
        self.number = number
        self.pulse = Pulse(file)
        self.speaker: Speaker | None = None
        self.was_sent_away = False
        self.is_given_up = False
        """It stands still for too long; the engine has been told."""

        self.killed_because = ""
        self.peak = 0
        """The most memory that it had, in bytes, once it has ended."""

        self.began_at_ns = time.time_ns()
        self._began_s = time.monotonic()
        self._introduced = b""
        self._about: dict[str, Any] = {}
        introduction = f"{file} {os.getpid()} {number} {int(is_first)}"
        # A group of its own: Ctrl-C in a terminal reaches this process only, which hands it on once.
        try:
            self.pid = os.posix_spawn(sys.executable, command, {**os.environ, VARIABLE: introduction}, setpgroup=0)
        except OSError:
            self.close()
            raise
        os.set_inheritable(file, False)

    @property
    def plan(self) -> Plan | None:
        """What its options say; None before it has read them."""
        text = self.pulse.plan
        return Plan.decode(text) if text else None

    @property
    def about(self) -> dict[str, Any]:
        """What the worker has left for the one who speaks for it; empty before it was connected."""
        introduced = self.pulse.about
        if introduced != self._introduced:
            self._introduced, self._about = introduced, json.loads(introduced)
        return self._about

    @property
    def patience_ms(self) -> int:
        """After how long without a tick it is blocked."""
        return patience_ms(self.about["beat_ms"])

    @property
    def lived_ms(self) -> int:
        """For how long it has been there."""
        return int((time.monotonic() - self._began_s) * 1000)

    @property
    def memory(self) -> int:
        """Its size in bytes as far as it is in memory; 0 where that is not known."""
        with suppress(OSError, IndexError), open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
        return 0

    @property
    def is_stopped(self) -> bool:
        """Tell whether a signal or a debugger has stopped it. Not known everywhere."""
        with suppress(OSError), open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in {"T", "t"}
        return False

    def ending(self) -> Ending | None:
        """Return how it ended. None: it lives."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.peak = usage.ru_maxrss * (1024 if sys.platform == "linux" else 1)
        return Ending(
            status=os.waitstatus_to_exitcode(status),
            had_begun=bool(self.about),
            had_left=self.pulse.has_left,
            has_told=self.pulse.has_told,
            was_sent_away=self.was_sent_away,
        )

    def hand_on(self, number: int) -> None:
        """Send a signal. It is not reaped yet, so its number is still its own. SIGINT in the middle of an import would
        be answered with a traceback.
        """
        self.pulse.ask()
        os.kill(self.pid, number if self.about else signal.SIGTERM)

    def send_away(self) -> None:
        """Ask it to finish its running steps and to leave; another one takes its place."""
        if not self.was_sent_away:
            self.was_sent_away = True
            self.hand_on(signal.SIGTERM)

    def ask_for_stack(self) -> None:
        """Have it written although the interpreter is held. It is there a moment later, where that is possible."""
        ask(self.pid, self.pulse.witness)

    def kill(self, because: str) -> None:
        """End it at once."""
        self.killed_because = because
        os.kill(self.pid, signal.SIGKILL)

    def end_group(self) -> None:
        """End what a dead worker has started: it would go on with what is done again elsewhere."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Give the page back."""
        self.pulse.close()


def reap_strangers(children: Collection[int]) -> None:
    """Let go of the dead that are nobody's children here: the first process of a container gets those whose parent has
    ended.
    """
    with suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in children:
                return  # it is looked at first
            os.waitpid(found.si_pid, 0)
