"""How long do parallel steps take? 1 + 20 + 1 and 1 + 1,000 + 1 SAFE steps: one, then many under `asyncio.gather`, then
one.

    python -m bench.fanout [--narrow 20] [--wide 1000] [--rounds 11] [--smoke]

Measured inside the function, from its first line to the line behind its last step, which runs when that step is
durable. Each round has ten narrow runs and one wide one. `ratio` compares with three strict steps, the least that three
rounds of steps can take.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from . import report
from .cluster import PATIENCE, Cluster
from .lab import Lab, Primitives, lab, medians
from .report import Answer, Figure
from .work import fan, fanned

NARROW_RUNS = 10
BARS_MS = {20: 6, 1_000: 150}


@dataclass(frozen=True)
class Round:
    """Milliseconds."""

    machine: Primitives
    narrow: float
    wide: float


async def measure(narrow: int, wide: int, rounds: int) -> Answer:
    async with lab() as bench:
        await one_round(bench, narrow, wide)  # warm
        found = [await one_round(bench, narrow, wide) for _ in range(rounds)]
    return Answer(
        figures=(
            figure(narrow, [(one.narrow, one.machine) for one in found]),
            figure(wide, [(one.wide, one.machine) for one in found]),
        ),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum([fanned(narrow), fanned(wide)]),
        details={"narrow_ms": [one.narrow for one in found], "wide_ms": [one.wide for one in found]},
    )


async def one_round(bench: Lab, narrow: int, wide: int) -> Round:
    machine = await bench.primitives()
    taken = [await asyncio.to_thread(fan_ms, bench.cluster, narrow) for _ in range(NARROW_RUNS)]
    return Round(machine, statistics.median(taken), await asyncio.to_thread(fan_ms, bench.cluster, wide))


def fan_ms(running: Cluster, width: int) -> float:
    handle = running.client.start(fan, width)
    taken_ns, result = handle.result(timeout=PATIENCE)
    report.check(result == fanned(width), f"the sum of {width} steps")
    report.check(running.client.get_run(handle.id).steps == width + 2, f"not all of {width} + 2 steps are kept")
    return taken_ns / 1e6


def figure(width: int, found: list[tuple[float, Primitives]]) -> Figure:
    return Figure(
        f"1 + {width:,} + 1",
        statistics.median(taken for taken, _ in found),
        "ms",
        at_most=BARS_MS.get(width),
        ratio=statistics.median(taken * 1000 / (3 * machine.floor_us) for taken, machine in found),
        to="3 (trip + fdatasync)",
    )


if __name__ == "__main__":
    report.main("fanout", __doc__ or "", measure, narrow=(20, 20), wide=(1_000, 100), rounds=(11, 1))
