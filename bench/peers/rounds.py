"""The questions that every peer is asked in each of its settings, round by round.

* step p50: from the start of one step body to the start of the next, in a run of sequential steps
* steps/s: runs of 10 sequential steps, 100 in flight, from the first request to the last result
* CPU: of everything that the peer started, server, worker and load, during those runs, divided by their steps
* request to first line: warm, one run at a time
* 1 + 20 + 1: inside the function, from its first line to the line behind its last step

Every result is compared with what Onward's own work computes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from websockets.asyncio.client import ClientConnection

from .. import primitives, report
from ..lab import GROUPS, SAMPLES, Primitives, medians, percentile
from ..report import Figure
from ..work import STEPS, fanned, mixed_often
from .children import used_s
from .setting import Running, Sizes

IN_FLIGHT = 100
WIDTH = 20


@dataclass(frozen=True)
class Round:
    machine: Primitives
    step_us: float
    steps_per_s: float
    cpu_ms: dict[str, float]
    first_lines_ms: list[float]
    fan_ms: float


@dataclass(frozen=True)
class Machine:
    """What the primitives are measured with: a peer that echoes, and a folder on the disk that the peers use."""

    echo: ClientConnection
    home: Path

    async def now(self) -> Primitives:
        return Primitives(
            statistics.median(await primitives.round_trips(self.echo, SAMPLES)),
            statistics.median(primitives.fdatasyncs(self.home, SAMPLES)),
            statistics.median(primitives.group_commits(self.home, GROUPS)),
        )


async def warm(running: Running, sizes: Sizes) -> None:
    """Fill caches and make connections: a little of everything."""
    await step(running, min(sizes.steps, 20))
    await first_lines(running, 10)
    await fan(running, 2)
    await throughput(running, max(20, sizes.runs // 10))


async def one_round(running: Running, sizes: Sizes, machine: Machine) -> Round:
    """Ask for everything, and before each question for the machine's primitives."""
    found = [await machine.now()]
    step_us = await step(running, sizes.steps)
    found.append(await machine.now())
    first_lines_ms = await first_lines(running, sizes.first_lines)
    found.append(await machine.now())
    fan_ms = await fan(running, sizes.fans)
    found.append(await machine.now())
    loads = [await throughput(running, sizes.runs) for _ in range(sizes.loads)]
    steps_per_s, cpu_ms = sorted(loads, key=itemgetter(0))[sizes.loads // 2]
    return Round(median_of(found), step_us, steps_per_s, cpu_ms, first_lines_ms, fan_ms)


def median_of(found: list[Primitives]) -> Primitives:
    return Primitives(**medians(found))


async def step(running: Running, count: int) -> float:
    begun = await running.load.ticks(count)
    report.check(len(begun) == count and begun == sorted(begun), f"{len(begun)} of {count} steps, or out of order")
    return statistics.median((after - before) / 1000 for before, after in pairwise(begun))


async def throughput(running: Running, runs: int) -> tuple[float, dict[str, float]]:
    before = {part: used_s(process) for part, process in running.processes.items()}
    found = await running.load.tens(runs, IN_FLIGHT)
    steps = runs * STEPS
    cpu_ms = {part: (used_s(process) - before[part]) / steps * 1000 for part, process in running.processes.items()}
    report.check(found.results == [mixed_often(number, STEPS) for number in range(runs)], "the results of ten steps")
    return steps / found.taken_s, cpu_ms


async def first_lines(running: Running, count: int) -> list[float]:
    found = await running.load.first_lines(count)
    report.check([number for number, _ in found] == list(range(count)), "the numbers that runs were given")
    return [taken_ns / 1e6 for _, taken_ns in found]


async def fan(running: Running, count: int) -> float:
    found = await running.load.fans(count, WIDTH)
    report.check({result for _, result in found} == {fanned(WIDTH)}, f"the sum of {WIDTH} steps")
    return statistics.median(taken_ns / 1e6 for taken_ns, _ in found)


def figures(name: str, rounds: list[Round]) -> list[Figure]:
    """Medians over the rounds; ratios are taken in each round, with its own primitives."""

    def median(of: Callable[[Round], float]) -> float:
        return statistics.median(of(one) for one in rounds)

    lines = [taken for one in rounds for taken in one.first_lines_ms]
    return [
        Figure(
            f"{name}: step p50",
            median(lambda one: one.step_us),
            "µs",
            ratio=median(lambda one: one.step_us / one.machine.floor_us),
            to="(trip + fdatasync)",
        ),
        Figure(
            f"{name}: throughput",
            median(lambda one: one.steps_per_s),
            "steps/s",
            ratio=median(lambda one: one.steps_per_s / one.machine.rows_per_s),
            to="SQLite rows/s in groups",
        ),
        Figure(f"{name}: CPU in all", median(lambda one: sum(one.cpu_ms.values())), "ms/step"),
        Figure(
            f"{name}: request to first line, p50",
            percentile(lines, 50),
            "ms",
            ratio=median(lambda one: statistics.median(one.first_lines_ms) * 1000 / one.machine.floor_us),
            to="(trip + fdatasync)",
        ),
        Figure(f"{name}: request to first line, p99", percentile(lines, 99), "ms"),
        Figure(
            f"{name}: 1 + {WIDTH} + 1",
            median(lambda one: one.fan_ms),
            "ms",
            ratio=median(lambda one: one.fan_ms * 1000 / (3 * one.machine.floor_us)),
            to="3 (trip + fdatasync)",
        ),
    ]
