"""What this process may use of its machine: processors and memory, as its container is limited.

Both versions of control groups are read; a limit of a group counts for those below it too. Where there are none, it is
what the machine has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

NO_LIMIT = 1 << 60
"""What the first version writes for "no limit" is about eight times as much."""


def has_spare_cpu(processes: int = 1, root: str = "/") -> bool:
    """Tell whether so many processes may each keep a processor busy to wait, and leave one to whoever is waited for."""
    return cpus(root) >= processes + 1


def cpus(root: str = "/") -> float:
    """Return how many processors this process may use: a part of one, or those that it is bound to."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(bound), *_quotas(root)])


def memory_bytes(root: str = "/") -> int | None:
    """Return how much memory this container, or else this machine, has; None if that is not known."""
    limits = [*_numbers(root, "memory", "memory.max"), *_numbers(root, "memory", "memory.limit_in_bytes")]
    known = [limit for limit in [*limits, _of_machine()] if 0 < limit < NO_LIMIT]
    return min(known, default=None)


def memory_kills(root: str = "/") -> int:
    """Return how many processes of this container the system has ended for want of memory; 0 if that is not known."""
    for folder in _folders(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            words = _read(folder, name).split()
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1])
    return 0


def _quotas(root: str) -> Iterator[float]:
    for folder in _folders(root, "cpu"):
        quota, _, period = _read(folder, "cpu.max").strip().partition(" ")
        if not quota:
            quota, period = _read(folder, "cpu.cfs_quota_us").strip(), _read(folder, "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _numbers(root: str, controller: str, name: str) -> Iterator[int]:
    for folder in _folders(root, controller):
        text = _read(folder, name).strip()
        if text.isdecimal():
            yield int(text)


def _of_machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # other systems have other names
        return 0


def _folders(root: str, controller: str) -> Iterator[str]:
    """Return the group of this process and those above it. In a container its path may be one of the host: what is
    mounted is the group itself.
    """
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            mount = os.path.join(root, "sys/fs/cgroup", controller)
        elif not controllers:
            mount = os.path.join(root, "sys/fs/cgroup")
        else:
            continue
        parts = [part for part in path.split("/") if part]
        yield from (os.path.join(mount, *parts[:depth]) for depth in range(len(parts), -1, -1))


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
