"""Why a worker's process ended without a word: in a sentence, from what its supervisor knows."""

from __future__ import annotations

from typing import NamedTuple

MIB = 1024 * 1024

_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"}
_NEAR = 0.5
"""Of a limit of the address space, memory in use is only a part."""


class Death(NamedTuple):
    """What is known. `signal` is empty if it had a status; sizes are in bytes, 0 if they are not known."""

    signal: str
    status: int
    peak: int = 0
    is_out_of_memory: bool = False
    """The system has ended a process of this container for want of memory, and no other death goes by that."""

    container_max: int = 0
    address_max: int = 0
    """The limit of its address space (`ulimit -v`)."""

    killed_because: str = ""
    """Why its supervisor has killed it."""


def cause_of(death: Death) -> str:
    """Return why it ended, as far as that can be known."""
    if death.killed_because:
        return f"killed: {death.killed_because}"
    if death.signal == "SIGKILL":
        return _killed(death)
    if death.signal in _CRASHES or death.signal == "SIGABRT":
        return _crashed(death)
    if death.signal == "SIGXCPU":
        return "it has used up its processor time (RLIMIT_CPU)"
    if death.signal == "SIGSYS":
        return "a system call is forbidden here (seccomp)"
    return "ended by a signal" if death.signal else f"ended itself with status {death.status}, as os._exit does"


def _killed(death: Death) -> str:
    if not death.is_out_of_memory:
        return "killed from outside"
    limit = f", {shown(death.container_max)}" if death.container_max else ""
    return f"out of memory: killed by the system at the limit of its container{limit}"


def _crashed(death: Death) -> str:
    what = "native code has given up" if death.signal == "SIGABRT" else "native code has crashed"
    if death.address_max and death.peak >= death.address_max * _NEAR:
        return f"out of memory, probably: {what} near the limit of its address space, {shown(death.address_max)}"
    return what


class Kills:
    """What the system has ended for want of memory: it only counts, and each death goes by one."""

    def __init__(self) -> None:
        self._explained = 0

    def explain(self, before: int, now: int) -> bool:
        """Tell whether this is why a worker was killed. `before` is what was counted when it began."""
        explained = max(self._explained, before)
        is_new = now > explained
        self._explained = explained + is_new
        return is_new


def shown(size: int) -> str:
    """Return a size for people."""
    return f"{size / MIB:.0f} MiB"
