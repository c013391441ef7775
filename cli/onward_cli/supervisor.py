"""The process above workers: starts them, hands signals on to them, speaks for those that cannot, and starts dead ones
again.

A step that holds the interpreter, or blocks the event loop, keeps its worker from saying that it lives, and a killed
process cannot say that it is dead. Both are seen from here. This process has no connection until then and loads nothing
of the user's. A single worker that dies is not started again: whoever started this process decides what comes next.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from onward_cli.child import VARIABLE, Child, reap_strangers
from onward_cli.fates import TERMINATED, Ending, fate_of, has_died, is_over, is_to_mend
from onward_cli.mailbox import SIGNALS, Mailbox
from onward_cli.plan import Plan
from onward_cli.sizes import weigh
from onward_cli.standstill import Standstill
from onward_cli.succession import Succession
from onward_cli.voice import Voice

if TYPE_CHECKING:
    from onward_cli.sources import Sources

POLL_S = 0.5
BUSY_POLL_S = 0.2  # with sizes or files to look at


def is_wanted(arguments: list[str]) -> bool:
    """Tell whether this command line is a worker's that is to have a supervisor, and has none yet."""
    if arguments[:1] != ["run"] or VARIABLE in os.environ or not hasattr(os, "posix_spawn"):
        return False
    chosen = [argument for argument in arguments if argument in {"--supervise", "--no-supervise"}]
    if chosen:
        return chosen[-1] == "--supervise"
    return os.environ.get("ONWARD_SUPERVISE", "").lower() not in {"0", "false", "f", "no", "n", "off"}


def supervise(command: list[str]) -> int:
    """Run a command line in children until all have ended. Returns the status to exit with."""
    if "onward" in sys.modules:
        _begin_anew(command)
    return Supervisor(Mailbox(), command).run()


def _begin_anew(command: list[str]) -> NoReturn:
    """`python -m onward` loads the library before it comes here: 14 MiB for nothing."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, *command])  # noqa: S606 - no shell is wanted


class Supervisor:
    """Watches over workers, and ends when the last one has ended.

    One is started first. Its options say how many there are to be; the others follow when the engine has let it in.
    """

    def __init__(self, mailbox: Mailbox, command: list[str]) -> None:
        self._mailbox = mailbox
        self._command = command
        self._voice = Voice(Plan())
        self._children: dict[Child, Standstill] = {}
        self._succession = Succession()
        self._sources: Sources | None = None
        self._status = 0
        self._asked = 0  # the newest signal that was handed on
        self._has_begun = False
        self._is_waiting = False  # for other code
        self._parent = os.getppid()
        self._began_at_ms = monotonic_ms()

    @property
    def _plan(self) -> Plan:
        return self._voice.plan

    def run(self) -> int:
        """Watch until all have ended; return the status of the first one that did not end well."""
        self._start(0)
        while self._children or self._succession or self._is_waiting:
            for number in self._mailbox.wait(self._poll_s()):
                if number in SIGNALS:
                    self._obey(number)
            if os.getpid() == 1:
                reap_strangers([child.pid for child in self._children])
            for child in list(self._children):
                self._look(child)
            self._decide()
            self._start_due()
        self._voice.finish()
        return self._status

    def _poll_s(self) -> float:
        patiences_s = [child.patience_ms / 4_000 for child in self._children if child.about]
        due_ms = self._succession.wait_ms(monotonic_ms())
        is_busy = self._plan.memory_max or self._plan.is_reloading
        return min([BUSY_POLL_S if is_busy else POLL_S, *patiences_s, *([] if due_ms is None else [due_ms / 1000])])

    # -- asked to end

    def _obey(self, number: int) -> None:
        if not self._children and not self._has_begun:
            self._status = 128 + number
        self._end(number)

    def _end(self, number: int = SIGNALS[0]) -> None:
        """Whoever is sent away already has heard the first signal: to it, this would be the second."""
        for child in self._children:
            if self._asked or not child.was_sent_away:
                child.hand_on(number)
        self._asked = number
        self._succession.cancel()
        self._is_waiting = False

    # -- starting

    def _start_due(self) -> None:
        for number in self._succession.take_due(monotonic_ms()):
            self._start(number)

    def _start(self, number: int) -> None:
        """A machine that has no memory, or no number, for another process may have it later."""
        try:
            child = Child(self._command, number, is_first=not self._has_begun)
        except OSError as error:
            self._succession.note_ending(number, lived_ms=0)
            self._succession.plan_successor(number, monotonic_ms())
            self._voice.log().error(
                "worker cannot be started", reason=error.strerror, again_in_s=self._succession.pause_ms(number) / 1000
            )
            return
        self._children[child] = Standstill(child, self._voice, monotonic_ms)
        if self._sources is not None and not self._has_begun:
            self._sources.remember()

    def _begin(self) -> None:
        """The first one works: so will the others."""
        self._has_begun = True
        if not self._asked:
            self._succession.plan(range(1, self._plan.processes), monotonic_ms())

    # -- watching

    def _look(self, child: Child) -> None:
        ending = child.ending()  # before what it has left is read
        if not self._has_begun and not child.was_sent_away:
            self._learn(child)
        if ending is not None:
            del self._children[child]
            if has_died(ending):
                child.end_group()  # before others go on with its runs, and while its number is nobody else's
            self._bury(child, ending)
            self._voice.release(child)  # it may have left right after a standstill
            child.close()
        elif child.about and not child.pulse.has_left:
            self._children[child].look()

    def _learn(self, child: Child) -> None:
        """Read what the first one has understood of its options, and see whether it works."""
        if (plan := child.plan) is not None:
            self._voice.plan = plan
        if self._plan.is_reloading and self._sources is None:
            from onward_cli.sources import Sources

            self._sources = Sources(child.began_at_ns)
        if child.about:
            self._begin()

    def _decide(self) -> None:
        """See whether somebody has to leave."""
        if self._asked:
            return
        if self._is_over() or (self._plan.is_bound and os.getppid() != self._parent):
            self._end()
        elif self._sources is not None and (files := self._sources.changes()):
            self._reload(files)
        elif self._plan.memory_max:
            weigh(list(self._children), self._plan.memory_max, self._voice)

    def _is_over(self) -> bool:
        """Who starts for the first time is waited for, who dies again and again is not."""
        asked = [child for child in self._children if child.about or not self._succession.has_ended(child.number)]
        idle = [child.pulse.idle_ms if child.about else None for child in asked]
        known = [ms for ms in idle if ms is not None]
        ran_ms = monotonic_ms() - self._began_at_ms
        return is_over(self._plan, ran_ms=ran_ms, idle_ms=min(known) if known and len(known) == len(idle) else None)

    def _reload(self, files: list[str]) -> None:
        """All of them leave; the first one of the new code follows when the last one is gone."""
        self._has_begun = False
        self._is_waiting = False
        self._succession.forget()
        for child in self._children:
            child.send_away()
        self._voice.log().info("reloading", changed=files[0], files=len(files))
        if not self._children:
            self._succession.plan([0], monotonic_ms())

    # -- a worker that has ended

    def _bury(self, child: Child, ending: Ending) -> None:
        if self._asked and not ending.had_begun and ending.status in TERMINATED:
            if not self._has_begun:
                self._status = 128 + self._asked  # it was told to end before it had begun
            return
        fate = fate_of(ending, self._plan, is_ending=bool(self._asked), has_begun=self._has_begun)
        if child.about and not (ending.had_left or child.is_given_up or is_to_mend(ending)):
            self._say_bye(child, ending)
        self._succession.note_ending(child.number, child.lived_ms)
        if has_died(ending):
            pause_s = self._succession.pause_ms(child.number) / 1000
            self._voice.report(child, ending, again_in_s=pause_s if fate == "again" else None)
        elif fate == "again" and not child.was_sent_away:
            self._voice.log(child).warning("worker has left, another one takes its place", pid=child.pid)
        match fate:
            case "again":
                self._start_again(child, ending)
            case "wait":
                self._is_waiting = True
                self._voice.log().info("waiting for a change of the code")
            case "end":
                self._note_status(ending)
                self._end()
            case "done":
                self._note_status(ending)

    def _note_status(self, ending: Ending) -> None:
        """The first one that is no success counts: others end because of it. A death is none, whatever the process
        called itself.
        """
        self._status = self._status or ending.exit_status or int(has_died(ending))

    def _start_again(self, child: Child, ending: Ending) -> None:
        """One that is too large at once waits as long as one that dies at once."""
        if not self._plan.is_reloading or self._has_begun:
            self._succession.plan_successor(child.number, monotonic_ms())
        elif self._children:
            return  # all of them begin anew, when the last one is gone
        elif has_died(ending):
            self._succession.plan_successor(0, monotonic_ms())
        else:
            self._succession.plan([0], monotonic_ms())

    def _say_bye(self, child: Child, ending: Ending) -> None:
        """Tell the engine at once."""
        if child.speaker is None:
            self._voice.speak_for(child)
        self._voice.say_bye(child, "dead", ending.exit_status)


def monotonic_ms() -> int:
    """Return the machine's monotonic time."""
    return time.monotonic_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
