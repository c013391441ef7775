"""A worker's end of the bond with its supervisor."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from onward_cli.child import VARIABLE
from onward_cli.pulse import Pulse
from onward_cli.pulse_watch import PulseWatch

if TYPE_CHECKING:
    from onward.settings import Settings
    from onward.watch import Identity
    from onward.worker import Worker

_PR_SET_PDEATHSIG = 1


class Supervisor(NamedTuple):
    """The process above this one, and the page that is shared with it."""

    pulse: Pulse
    pid: int
    number: int
    """Which of the workers below it this one is, from 0."""

    is_first: bool
    """It has the place to itself: the others come after it."""


def take_supervisor() -> Supervisor | None:
    """Return the supervisor of this process, if it has one, and bind this life to its. Processes that are started from
    here have none.
    """
    words = os.environ.pop(VARIABLE, "").split()
    if not words:
        return None
    supervisor = Supervisor(Pulse(int(words[0])), int(words[1]), int(words[2]), words[3] == "1")
    os.set_inheritable(supervisor.pulse.file, False)
    _die_with(supervisor.pid)
    _leave_stack(supervisor.pulse)
    return supervisor


def watch_for(supervisor: Supervisor, worker: Worker, stall_max_ms: int) -> PulseWatch:
    """Return what shows the worker to its supervisor."""

    def introduction(identity: Identity) -> bytes:
        about = {
            **msgspec.structs.asdict(identity),
            "settings": settings_for_guard(worker),
            "stall_max_ms": stall_max_ms,
        }
        return msgspec.json.encode(about)

    return Bound(supervisor.pulse, introduction, supervisor.pid, lambda: worker.health.idle_ms)


def settings_for_guard(worker: Worker) -> Settings:
    """Return what the supervisor dials with: it reads files itself, at each attempt, and is told the rest."""
    settings = replace(worker.settings, way=worker.settings.way.settled(worker.url))
    if worker.token == worker.settings.token:
        return settings
    return settings.changed(token=worker.token())  # which asks somebody else


class Bound(PulseWatch):
    """Ends this process soon after its supervisor, on systems that do not do so themselves. Shows for how long there
    has been nothing to do.
    """

    def __init__(
        self, pulse: Pulse, introduction: Callable[[Identity], bytes], parent: int, idle_ms: Callable[[], int | None]
    ) -> None:
        super().__init__(pulse, introduction)
        self._parent = parent
        self._idle_ms = idle_ms

    def tick(self) -> None:
        """See `Watch`."""
        _end_without(self._parent)
        self._pulse.idle(self._idle_ms())
        super().tick()


def _leave_stack(pulse: Pulse) -> None:
    """A crash in native code leaves the place in Python that led there; whoever has set this up already keeps it."""
    import faulthandler

    if not faulthandler.is_enabled():
        pulse.forget_stack()
        faulthandler.enable(file=pulse.file, all_threads=False)


def _die_with(parent: int) -> None:
    """Somebody who kills the supervisor with SIGKILL means the worker, even if it stands still."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
