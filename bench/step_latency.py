"""How long from one durable step to the next? A sequential function for each preset, engine and worker in two
processes, SQLite with FULL sync.

    python -m bench.step_latency [--steps 300] [--rounds 21] [--smoke]

Each round measures the machine's primitives and then a run of each preset, so that drift of the machine hits all of
them; `ratio` is the median over the rounds of  p50(step) / (p50(round trip) + p50(append and fdatasync)).

A p50 says little about presets that wait only now and then, so there is also the mean: first to last, divided. Strict
presets, which start nothing before the result before it is on disk, are held to that: a step that is faster than every
fdatasync did not wait, and more than a few of them are a wrong answer.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from itertools import pairwise

from . import primitives, report
from .cluster import PATIENCE, Cluster
from .lab import GROUPS, Lab, Primitives, lab, medians
from .report import Answer, Figure
from .work import PRESETS, SEQUENCES

SAMPLES = 150
RATIOS = {"SAFE": 1.5}
BARS_US = {"PIPELINED": 60}
STRICT = ("SAFE", "OFF")
HASTY_MAX = 0.02


@dataclass(frozen=True)
class Round:
    machine: Primitives
    fastest_sync_us: float
    steps: dict[str, list[float]]
    """Microseconds from step to step, by preset."""

    def p50(self, preset: str) -> float:
        return statistics.median(self.steps[preset])

    def ratio(self, preset: str) -> float:
        return self.p50(preset) / self.machine.floor_us


async def measure(steps: int, rounds: int) -> Answer:
    async with lab() as bench:
        for preset in PRESETS:
            await asyncio.to_thread(step_times, bench.cluster, preset, min(steps, 200))  # warm caches and the log
        found = [await one_round(bench, steps) for _ in range(rounds)]
    for preset in STRICT:
        check_strict(preset, found)
    return Answer(
        figures=tuple(figure for preset in PRESETS for figure in figures_of(preset, found)),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum([steps] * len(PRESETS)),
        details={"SAFE ratios": [round(one.ratio("SAFE"), 2) for one in found]},
    )


async def one_round(bench: Lab, steps: int) -> Round:
    samples = min(SAMPLES, steps)
    trip = statistics.median(await primitives.round_trips(bench.peer, samples))
    syncs = primitives.fdatasyncs(bench.cluster.home, samples)
    times = {preset: await asyncio.to_thread(step_times, bench.cluster, preset, steps) for preset in PRESETS}
    group = statistics.median(primitives.group_commits(bench.cluster.home, GROUPS))
    return Round(Primitives(trip, statistics.median(syncs), group), min(syncs), times)


def check_strict(preset: str, found: list[Round]) -> None:
    fastest_us = min(one.fastest_sync_us for one in found)
    times = [taken for one in found for taken in one.steps[preset]]
    hasty = sum(taken < fastest_us for taken in times)
    report.check(hasty <= HASTY_MAX * len(times), f"{hasty} of {len(times)} {preset} steps did not wait for the disk")


def step_times(running: Cluster, preset: str, steps: int) -> list[float]:
    """Microseconds between the starts of successive step bodies, as the worker saw them."""
    handle = running.client.start(SEQUENCES[preset], steps)
    begun = handle.result(timeout=PATIENCE)
    report.check(len(begun) == steps and begun == sorted(begun), f"{len(begun)} of {steps} steps, or out of order")
    report.check(running.client.get_run(handle.id).steps == steps, f"not all of {steps} steps are in the journal")
    return [(after - before) / 1000 for before, after in pairwise(begun)]


def figures_of(preset: str, found: list[Round]) -> list[Figure]:
    ratio = statistics.median(one.ratio(preset) for one in found)
    p50 = statistics.median(one.p50(preset) for one in found)
    mean = statistics.median(statistics.fmean(one.steps[preset]) for one in found)
    figures = [Figure(f"{preset} p50", p50, "µs", at_most=BARS_US.get(preset), ratio=ratio, to="(trip + fdatasync)")]
    if preset in RATIOS:
        figures.append(Figure(f"{preset} p50 / (trip + fdatasync)", ratio, "x", at_most=RATIOS[preset]))
    return [*figures, Figure(f"{preset} mean", mean, "µs")]


if __name__ == "__main__":
    report.main("step_latency", __doc__ or "", measure, steps=(300, 50), rounds=(21, 1))
