"""Options of `worker run` about its processes: how many, how large, and for how long."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from onward_cli.errors import CommandError
from onward_cli.plan import Plan

PROCESSES_MAX = 256
SLOTS_MAX = 10_000

Concurrency = Annotated[
    str,
    typer.Option(
        "--concurrency",
        "-c",
        envvar="ONWARD_CONCURRENCY",
        metavar="N|auto",
        help="Runs at a time, of one process; auto: as many as processors and memory of the container suggest.",
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        envvar="ONWARD_PROCESSES",
        metavar="N",
        min=1,
        max=PROCESSES_MAX,
        help="Processes, with a connection each. One that dies is started again.",
    ),
]
MaxMemory = Annotated[
    str,
    typer.Option(
        "--max-memory",
        envvar="ONWARD_MAX_MEMORY",
        metavar="SIZE",
        help="A process above it, such as 512M, finishes its steps and is replaced by a new one.",
    ),
]
Burst = Annotated[
    bool, typer.Option("--burst", envvar="ONWARD_BURST", help="Leave with status 0 when there is no more work.")
]
BurstIdle = Annotated[
    str,
    typer.Option(
        "--burst-idle", envvar="ONWARD_BURST_IDLE", metavar="DURATION", help="How long there is no work at its end."
    ),
]
MaxRuntime = Annotated[
    str,
    typer.Option(
        "--max-runtime",
        envvar="ONWARD_MAX_RUNTIME",
        metavar="DURATION",
        help="Leave with status 0 after this time, and hand on what is not done.",
    ),
]
Reload = Annotated[
    bool,
    typer.Option("--reload", envvar="ONWARD_RELOAD", help="Start again whenever a Python file below here changes."),
]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MEMORY_MIN = 32 << 20  # less than a worker that has nothing to do

RUN_BYTES = 2 << 20
"""What is reckoned for a run: its values and a few copies of them."""

BASE_BYTES = 64 << 20
"""What is reckoned for a process before its first run."""

SLOTS_A_CPU = 100
"""Steps mostly wait for somebody else."""


def size_of(text: str) -> int:
    """Return a size in bytes, from "512M" or "1.5GiB"; units are powers of 1024. Raises `CommandError`."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size < _MEMORY_MIN:
        why = "is less than a worker takes that has nothing to do" if found else "is no size"
        raise CommandError("E0540", f"--max-memory: {text!r} {why}", advice="write 512M or 2G")
    return size


def slots_of(text: str, cpus: float, memory: int | None, processes: int) -> int:
    """Return how many runs a process takes at a time. Raises `CommandError`."""
    if text == "auto":
        return automatic_slots(cpus, memory, processes)
    if not text.isdecimal() or int(text) not in range(1, SLOTS_MAX + 1):
        raise CommandError(
            "E0541", f"--concurrency is 1 to {SLOTS_MAX}, or auto; not {text!r}", advice="write --concurrency 100"
        )
    return int(text)


def automatic_slots(cpus: float, memory: int | None, processes: int) -> int:
    """Return what suits a container with these processors and this memory, for one of its processes."""
    by_cpus = cpus * SLOTS_A_CPU / processes
    by_memory = by_cpus if memory is None else (memory / processes - BASE_BYTES) / RUN_BYTES
    return max(1, min(int(by_cpus), int(by_memory), SLOTS_MAX))


def check_supervised(plan: Plan) -> None:
    """Raise `CommandError` for an option that needs a supervisor: there is none."""
    wanted = {
        "--processes": plan.processes > 1,
        "--max-memory": bool(plan.memory_max),
        "--reload": plan.is_reloading,
    }
    for option, is_wanted in wanted.items():
        if is_wanted:
            raise CommandError(
                "E0542",
                f"{option} needs the process above the worker, and there is none",
                advice="leave out --no-supervise; on Windows use the option within WSL",
            )


def check_memory_known(plan: Plan) -> None:
    """Raise `CommandError` where nobody can say how large another process is."""
    if plan.memory_max and sys.platform != "linux":
        raise CommandError("E0543", "--max-memory is for Linux only", advice="leave it out")
