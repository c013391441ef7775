"""A worker's end of the bond with its supervisor."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from onward_cli.pulse import Pulse, PulseWatch
from onward_cli.supervisor import VARIABLE

if TYPE_CHECKING:
    from onward.watch import Identity
    from onward.worker import Worker

    from onward_cli.logs import LogFormat

_PR_SET_PDEATHSIG = 1


class Supervisor(NamedTuple):
    """The process above this one, and the descriptor of the page that is shared with it."""

    file: int
    pid: int


def take_supervisor() -> Supervisor | None:
    """Return the supervisor of this process, if it has one, and bind this life to its. Processes that are started from
    here have none.
    """
    words = os.environ.pop(VARIABLE, "").split()
    if not words:
        return None
    supervisor = Supervisor(int(words[0]), int(words[1]))
    os.set_inheritable(supervisor.file, False)
    _die_with(supervisor.pid)
    return supervisor


def watch_for(
    supervisor: Supervisor, worker: Worker, stall_max_ms: int, log_format: LogFormat, *, verbose: bool
) -> PulseWatch:
    """Return what shows the worker to its supervisor."""

    def introduction(identity: Identity) -> bytes:
        about = {
            **msgspec.structs.asdict(identity),
            "url": worker.url,
            "token": worker.token(),
            "stall_max_ms": stall_max_ms,
            "log_format": log_format.value,
            "verbose": verbose,
        }
        return msgspec.json.encode(about)

    return Bound(Pulse(supervisor.file), introduction, supervisor.pid)


class Bound(PulseWatch):
    """Ends this process soon after its supervisor, on systems that do not do so themselves."""

    def __init__(self, pulse: Pulse, introduction: Callable[[Identity], bytes], parent: int) -> None:
        super().__init__(pulse, introduction)
        self._parent = parent

    def tick(self) -> None:
        """See `Watch`."""
        _end_without(self._parent)
        super().tick()


def _die_with(parent: int) -> None:
    """Somebody who kills the supervisor with SIGKILL means the worker, even if it stands still."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
