"""What processes use, as Linux counts it. A process stands for itself and everything that it has started."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPU_STEP_S = 1 / _TICKS_PER_S
"""Less cannot be told from nothing: divide by at least this."""

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU, user and system, that were used so far; exact to 10 ms."""
    return sum(_own_cpu_s(member) for member in _tree(pid))


def rss_kib(pid: int) -> int:
    """Return the resident memory: cheap to ask, shared pages counted in full."""
    return sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) * _PAGE_KIB for member in _tree(pid))


def pss_kib(pid: int) -> int:
    """Return the resident memory, each shared page divided by the number of its users."""
    return sum(_field(member, "Pss") for member in _tree(pid))


def rss_max_kib(pid: int) -> int:
    """Return the largest resident memory that the process itself ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _tree(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [pid, *(member for child in children for member in _tree(child))]


def _own_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _field(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
