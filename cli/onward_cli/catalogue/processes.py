"""E054x: the processes of `worker run`."""

from __future__ import annotations

from typing import Final

from onward_cli.catalogue.entry import Entry

PROCESSES: Final = {
    "E0540": Entry(
        "The limit of a worker's memory is not written as it has to be, or is too small.",
        "It has no number or an unknown unit, or is less than a worker takes that has nothing to do.",
        "Write a number and a unit: `--max-memory 512M` or `2G`.",
    ),
    "E0541": Entry(
        "The number of runs at a time is not written as it has to be.",
        "It is no whole number, or outside of what is possible.",
        "Write `--concurrency 100`, or `auto` to have it follow from processors and memory.",
    ),
    "E0542": Entry(
        "An option needs the process above the worker, and there is none.",
        "`--no-supervise` is set, or the system has no way to start one.",
        "Leave out `--no-supervise`; on Windows use the option within WSL.",
    ),
    "E0543": Entry(
        "Memory can be limited on Linux only.",
        "On other systems the size of another process cannot be seen.",
        "Leave `--max-memory` out, or set it where the worker is deployed.",
    ),
}
