"""The process above a worker: starts it, hands signals on to it, and speaks for it when it cannot.

A step that holds the interpreter, or blocks the event loop, keeps its worker from saying that it lives, and a killed
process cannot say that it is dead. Both are seen from here. This process has no connection until then, loads nothing of
the user's, and ends with the worker: whoever started it decides what comes next.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from onward_cli.pulse import Pulse, make_file, patience_ms

if TYPE_CHECKING:
    from onward_cli.speaker import Speaker

VARIABLE = "ONWARD_SUPERVISOR"
"""Tells a worker that it has a supervisor: the page's descriptor, and who that is."""

POLL_S = 0.5
HURRY_MS = 1_000  # loading what speaks takes up to this long: with shorter leases it has to be there before
STACK_LINES_MAX = 40
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)


def is_wanted(arguments: list[str]) -> bool:
    """Tell whether this command line is a worker's that is to have a supervisor, and has none yet."""
    if arguments[:1] != ["run"] or "--help" in arguments or VARIABLE in os.environ or not hasattr(os, "posix_spawn"):
        return False
    chosen = [argument for argument in arguments if argument in {"--supervise", "--no-supervise"}]
    if chosen:
        return chosen[-1] == "--supervise"
    return os.environ.get("ONWARD_SUPERVISE", "").lower() not in {"0", "false", "f", "no", "n", "off"}


def supervise(command: list[str]) -> int:
    """Run a command line in a child until it has ended. Returns the status to exit with."""
    if "onward" in sys.modules:
        _begin_anew(command)
    return Supervisor(Mailbox(), command).run()


def _begin_anew(command: list[str]) -> NoReturn:
    """`python -m onward` loads the library before it comes here: 14 MiB for nothing."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, *command])  # noqa: S606 - no shell is wanted


class Mailbox:
    """Signals that arrive, in their order. Handlers do nothing but wake up the one who waits."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _do_nothing)  # where it is ignored, nobody would learn how a child has ended
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, _do_nothing)

    def wait(self, seconds: float) -> list[int]:
        """Return the signals that have arrived, as soon as there is one."""
        select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):
            return list(os.read(self._reader, 256))
        return []


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The number is in the mailbox."""


class Child:
    """One worker process, as it is seen from outside."""

    def __init__(self, command: list[str]) -> None:
        file = make_file()
        os.set_inheritable(file, True)
        self.pulse = Pulse(file)
        self.speaker: Speaker | None = None
        self.is_blocked = False
        self.is_named = False
        self.is_given_up = False
        self._introduced = b""
        self._about: dict[str, Any] = {}
        # A group of its own: Ctrl-C in a terminal reaches this process only, which hands it on once.
        self.pid = os.posix_spawn(
            sys.executable, command, {**os.environ, VARIABLE: f"{file} {os.getpid()}"}, setpgroup=0
        )
        os.set_inheritable(file, False)

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

    def ended(self) -> int | None:
        """Return how it ended, as an exit status; negative is a signal's number. None: it lives."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    @property
    def is_stopped(self) -> bool:
        """Tell whether a signal or a debugger has stopped it. Not known everywhere."""
        with suppress(OSError), open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in {"T", "t"}
        return False


class Supervisor:
    """Watches over workers, and ends when the last one has ended."""

    def __init__(self, mailbox: Mailbox, command: list[str], processes: int = 1) -> None:
        self._mailbox = mailbox
        self._children = [Child(command) for _ in range(processes)]
        self._status = 0
        self._asked = 0  # the newest signal that was handed on

    def run(self) -> int:
        """Watch until all have ended; return the status of the last one that did not end well."""
        while self._children:
            for number in self._mailbox.wait(self._poll_s()):
                self._hand_on(number)
            for child in list(self._children):
                self._look(child)
        return self._status

    def _poll_s(self) -> float:
        patiences_s = [child.patience_ms / 4_000 for child in self._children if child.about]
        return min([POLL_S, *patiences_s])

    def _hand_on(self, number: int) -> None:
        if number in SIGNALS:
            self._asked = number
            for child in self._children:
                # It is not reaped yet, so the number is still its own. SIGINT in the middle of an import would be
                # answered with a traceback.
                os.kill(child.pid, number if child.about else signal.SIGTERM)

    def _look(self, child: Child) -> None:
        status = child.ended()
        if status is not None:
            self._children.remove(child)
            self._bury(child, status)
        elif child.about and not child.pulse.has_left:
            if child.patience_ms < HURRY_MS:
                from onward_cli import speaker

                speaker.load()
            age_ms = child.pulse.age_ms
            if age_ms <= child.patience_ms:
                self._turns(child)
            else:
                self._stands_still(child, age_ms)

    # -- a worker that stands still

    def _stands_still(self, child: Child, age_ms: int) -> None:
        if not child.is_blocked:
            child.is_blocked = True
            self._speak_for(child)
        if not child.is_named:
            self._name(child, age_ms)
        if age_ms > child.about["stall_max_ms"] and not child.is_given_up:
            child.is_given_up = True
            self._log(child).error("worker is given up, others go on with its runs", seconds=_seconds(age_ms))
            self._say_bye(child, "stalled")

    def _turns(self, child: Child) -> None:
        if not child.is_blocked:
            return
        child.is_blocked = child.is_named = child.is_given_up = False
        if child.speaker is not None:
            child.speaker.release()
            child.speaker = None
        self._log(child).info("event loop turns again", pid=child.pid)

    def _name(self, child: Child, age_ms: int) -> None:
        """Say what blocks it, as soon as the stack is there; of a process that is stopped there is none."""
        stack = child.pulse.take_stack()
        if not stack and not child.is_stopped and age_ms < 2 * child.patience_ms:
            return
        child.is_named = True
        for fields in _named(child, stack):
            event = "step blocks the event loop" if "step" in fields else "event loop is blocked"
            self._log(child).warning(
                "worker is stopped" if child.is_stopped else event, pid=child.pid, seconds=_seconds(age_ms), **fields
            )

    # -- a worker that is dead

    def _bury(self, child: Child, status: int) -> None:
        """Tell the engine at once, unless the worker has said goodbye itself; then why it ended."""
        if self._asked and not child.about and status in _TERMINATED:
            self._status = 128 + self._asked  # it was told to end before it had begun
            return
        self._status = 128 - status if status < 0 else status or self._status
        if child.about and not child.pulse.has_left:
            if child.speaker is None:
                self._speak_for(child)
            self._say_bye(child, "dead", self._status)
        if status < 0:
            ended_by = _signal_name(-status)
            self._log(child).error("worker died", pid=child.pid, signal=ended_by, was_running=_running(child))
        elif child.about and not child.pulse.has_left:
            self._log(child).error("worker died", pid=child.pid, exit_status=status, was_running=_running(child))

    # -- speaking

    def _speak_for(self, child: Child) -> None:
        from onward_cli.speaker import Speaker

        child.speaker = Speaker(child.about, lambda reason: self._log(child).warning("guard refused", reason=reason))
        child.speaker.start()

    def _say_bye(self, child: Child, reason: str, exit_status: int | None = None) -> None:
        if child.speaker is not None:
            child.speaker.say_bye(reason, exit_status)
            child.speaker = None

    def _log(self, child: Child) -> Any:
        from onward_cli.logs import LogFormat, configure_logs

        if "structlog" not in sys.modules:
            about = child.about
            configure_logs(LogFormat(about.get("log_format", "console")), verbose=bool(about.get("verbose")))
        import structlog

        return structlog.get_logger("onward.supervisor")


def _named(child: Child, stack: str) -> list[dict[str, Any]]:
    """Return what to say of each step that may be to blame: one if it runs on the loop, otherwise those in threads."""
    shown = {"stack": _shortened(stack, is_on_loop=child.pulse.is_on_loop)} if stack else {}
    names = [dict(zip(("run", "function", "step"), name, strict=True)) for name in child.pulse.now]
    return [{**name, **shown} for name in names] or [shown]


def _shortened(stack: str, *, is_on_loop: bool) -> str:
    """Return the newest calls of the event loop's thread, which comes last; of all threads if it may be any."""
    text = stack.rpartition("\n\n")[2] if is_on_loop else stack
    return "\n".join(text.splitlines()[:STACK_LINES_MAX])


def _signal_name(number: int) -> str:
    """Real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _running(child: Child) -> list[str]:
    return [f"step {step} of run {run}" for run, _, step in child.pulse.now]


def _seconds(ms: int) -> float:
    return round(ms / 1000, 1)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
