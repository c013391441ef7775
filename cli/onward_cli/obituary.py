"""How workers died, for the log."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from onward_cli.causes import Death, Kills, cause_of, shown
from onward_cli.standstill import shortened
from onward_cli.witness import without_witness

if TYPE_CHECKING:
    from onward_cli.child import Child
    from onward_cli.fates import Ending


class Obituaries:
    """Of all workers of one supervisor."""

    def __init__(self) -> None:
        self._kills = Kills()

    def write(self, child: Child, ending: Ending) -> dict[str, Any]:
        """Return the fields of the line that tells of a death."""
        name = _signal_name(-ending.status) if ending.status < 0 else ""
        stack = without_witness(child.pulse.take_stack()) if name else ""
        return {
            "pid": child.pid,
            **({"signal": name} if name else {"exit_status": ending.status}),
            "cause": cause_of(self._death(child, name, ending.status)),
            "memory_peak": shown(child.peak),
            "was_running": [f"step {step} of run {run}" for run, _, step in child.pulse.now],
            **({"stack": shortened(stack)} if stack else {}),
        }

    def _death(self, child: Child, name: str, status: int) -> Death:
        plan, (kills, container_max) = child.plan, _container()
        may_be = name == "SIGKILL" and not child.killed_because
        return Death(
            signal=name,
            status=status,
            peak=child.peak,
            is_out_of_memory=may_be and self._kills.explain(plan.memory_kills if plan else kills, kills),
            container_max=container_max,
            address_max=_address_max(),
            killed_because=child.killed_because,
        )


def _container() -> tuple[int, int]:
    """Return what the system has killed for want of memory, and the limit of the container, as far as it is known. What
    reads it may be gone: another version was installed since.
    """
    try:
        from onward import cgroup
    except ImportError:
        return 0, 0
    return cgroup.memory_kills(), cgroup.memory_bytes() or 0


def _address_max() -> int:
    """The worker's limit is this process's own."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return 0 if soft == resource.RLIM_INFINITY else soft


def _signal_name(number: int) -> str:
    """Real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
