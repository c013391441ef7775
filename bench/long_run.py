"""Does a step cost the same however long its run is? One run of 100,000 steps, PIPELINED, and a SAFE one.

    python -m bench.long_run [--steps 100000] [--safe-steps 20000] [--smoke]

`last 1,000 / first` compares times, after a warm-up run of another 2,000 steps; each is the median of the three blocks
of 1,000 at that end, because a single one is at the mercy of whatever else the machine does. `CPU, last tenth / first`
is that of engine and worker together, which a busy machine does not change.

Memory (resident) of both is sampled while the run goes on; `growth` is from a tenth of the run to its end. Up to 16 MiB
of the engine's are SQLite's page cache filling.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from . import report
from .cluster import Cluster
from .lab import Lab, Primitives, lab, medians
from .processes import CPU_STEP_S, cpu_s, rss_kib
from .report import Answer, Figure
from .work import BLOCK, JOURNEYS, Journey, mixed_often

SAMPLE_S = 0.2
PATIENCE = "10m"
RATIO_MAX = 1.2


@dataclass(frozen=True)
class Sample:
    """Taken at a moment on the clock that all processes share. The CPU is that of both since they started."""

    at_ns: int
    cpu_s: float
    engine_mib: float
    worker_mib: float


async def measure(steps: int, safe_steps: int) -> Answer:
    machine: list[Primitives] = []
    figures: list[Figure] = []
    details: dict[str, object] = {}
    lengths = {"PIPELINED": steps, "SAFE": safe_steps}
    async with lab() as bench:
        for preset, length in lengths.items():
            await asyncio.to_thread(journey, bench.cluster, preset, 2 * BLOCK)  # warm
            machine.append(await bench.primitives())
            async with sampled(bench) as samples:
                found = await asyncio.to_thread(journey, bench.cluster, preset, length)
            machine.append(await bench.primitives())
            figures += figures_of(preset, found, samples, machine[-2:])
            details[preset] = details_of(found, samples)
    expected = [mixed_often(0, length) for length in lengths.values()]
    return Answer(tuple(figures), medians(machine), report.checksum(expected), details)


def journey(running: Cluster, preset: str, steps: int) -> Journey:
    handle = running.client.start(JOURNEYS[preset], steps)
    found = handle.result(timeout=PATIENCE)
    report.check(found.value == mixed_often(0, steps), f"the value after {steps} steps")
    report.check(running.client.get_run(handle.id).steps == steps, f"not all of {steps} steps are in the journal")
    return found


def block_ms(found: Journey) -> list[float]:
    """Milliseconds of every 1,000 steps."""
    return [round((after - before) / 1e6, 1) for before, after in pairwise(found.blocks_ns)]


@asynccontextmanager
async def sampled(bench: Lab) -> AsyncGenerator[list[Sample]]:
    """Collect samples until the end, which is the last of them."""
    samples: list[Sample] = []
    sampling = asyncio.create_task(_sample(bench, samples))
    try:
        yield samples
    finally:
        sampling.cancel()
    samples.append(sample_of(bench))


async def _sample(bench: Lab, samples: list[Sample]) -> None:
    while True:
        samples.append(sample_of(bench))
        await asyncio.sleep(SAMPLE_S)


def sample_of(bench: Lab) -> Sample:
    engine, worker = bench.cluster.engine.pid, bench.worker.pid
    cpu = cpu_s(engine) + cpu_s(worker)
    return Sample(time.monotonic_ns(), cpu, rss_kib(engine) / 1024, rss_kib(worker) / 1024)


def figures_of(preset: str, found: Journey, samples: list[Sample], machine: list[Primitives]) -> list[Figure]:
    blocks = block_ms(found)
    ends = min(3, max(1, len(blocks) // 2))
    first, last = statistics.median(blocks[:ends]), statistics.median(blocks[-ends:])
    floor_us = statistics.median(one.floor_us for one in machine)
    name = f"{preset}, {len(blocks) * BLOCK:,} steps"
    step_us = sum(blocks) / len(blocks)
    return [
        Figure(f"{name}: last 1,000 / first", last / first, "x", at_most=RATIO_MAX),
        Figure(f"{name}: CPU, last tenth / first", cpu_ratio(found, samples), "x"),
        Figure(f"{name}: mean step", step_us, "µs", ratio=step_us / floor_us, to="(trip + fdatasync)"),
        Figure(f"{name}: growth of the engine", growth([one.engine_mib for one in samples]), "MiB"),
        Figure(f"{name}: growth of the worker", growth([one.worker_mib for one in samples]), "MiB"),
    ]


def cpu_ratio(found: Journey, samples: list[Sample]) -> float:
    """The CPU of the last tenth of the steps, divided by that of the first tenth."""
    moments = found.blocks_ns
    tenth = max(1, (len(moments) - 1) // 10)
    first = max(cpu_at(moments[tenth], samples) - cpu_at(moments[0], samples), CPU_STEP_S)
    return (cpu_at(moments[-1], samples) - cpu_at(moments[-1 - tenth], samples)) / first


def cpu_at(moment_ns: int, samples: list[Sample]) -> float:
    """The CPU used up to a moment, on a straight line between the samples around it."""
    before, after = next(
        ((one, other) for one, other in pairwise(samples) if moment_ns <= other.at_ns), (samples[-2], samples[-1])
    )
    share = (moment_ns - before.at_ns) / (after.at_ns - before.at_ns)
    return before.cpu_s + share * (after.cpu_s - before.cpu_s)


def details_of(found: Journey, samples: list[Sample]) -> dict[str, list[float]]:
    return {
        "block_ms": block_ms(found),
        "engine_mib": [round(one.engine_mib, 1) for one in samples],
        "worker_mib": [round(one.worker_mib, 1) for one in samples],
    }


def growth(samples: list[float]) -> float:
    """How much the last is above the one after a tenth."""
    return samples[-1] - samples[len(samples) // 10]


if __name__ == "__main__":
    report.main("long_run", __doc__ or "", measure, steps=(100_000, 3_000), safe_steps=(20_000, 2_000))
