"""How soon is a run back in business after its worker was killed? After no step, and after 50,000.

    python -m bench.recovery [--steps 50000] [--rounds 3] [--smoke]

The worker gets a SIGKILL while the run is in the body that follows its finished steps; a second, idle worker takes
over. The time goes from the kill to the moment at which the same body runs again there. The engine gives a lost worker
a grace of 1 s, which is part of the time. What 50,000 steps add to it is the price of their replay: read, sent,
decoded and delivered again one by one.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from . import report
from .cluster import START_S, Cluster
from .lab import Primitives, Site, medians, site
from .report import Answer, Figure
from .work import Stop, mixed_often, stop

PATIENCE = "5m"


@dataclass(frozen=True)
class Round:
    """Milliseconds."""

    machine: Primitives
    empty: float
    long: float


async def measure(steps: int, rounds: int) -> Answer:
    async with site() as here:
        found = [await one_round(here, number, steps) for number in range(rounds)]
    return answer(found, steps)


async def one_round(here: Site, number: int, steps: int) -> Round:
    machine = await here.primitives()
    empty, long = [
        await asyncio.to_thread(takeover_ms, here.cluster, Stop(length, str(here.cluster.home / f"{number}-{length}")))
        for length in (0, steps)
    ]
    return Round(machine, empty, long)


def takeover_ms(running: Cluster, where: Stop) -> float:
    with running.worker() as doomed:
        handle = running.client.start(stop, where)
        wait_for(where)
        with running.worker():
            killed_ns = time.monotonic_ns()
            doomed.kill()
            value, back_ns = handle.result(timeout=PATIENCE)
    report.check(value == mixed_often(0, where.steps), f"the value after {where.steps} steps and a kill")
    report.check(running.client.get_run(handle.id).steps == where.steps + 1, "a step more or less than once")
    return (back_ns - killed_ns) / 1e6


def wait_for(where: Stop) -> None:
    """Return when the run is where it stops."""
    end = time.monotonic() + START_S + where.steps / 1_000
    while not where.marker_path.exists():
        report.check(time.monotonic() < end, f"{where.steps} steps did not end")
        time.sleep(0.01)


def answer(found: list[Round], steps: int) -> Answer:
    long = statistics.median(one.long for one in found)
    replay = statistics.median(one.long - one.empty for one in found)
    return Answer(
        figures=(
            Figure("kill to body, no steps", statistics.median(one.empty for one in found), "ms"),
            Figure(f"kill to body, {steps:,} steps", long, "ms"),
            Figure(f"replay of {steps:,} steps", replay, "ms"),
            Figure("replay", replay * 1000 / steps, "µs/step"),
        ),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum([mixed_often(0, steps), steps]),
        details={"no steps_ms": [one.empty for one in found], "steps_ms": [one.long for one in found]},
    )


if __name__ == "__main__":
    report.main("recovery", __doc__ or "", measure, steps=(50_000, 500), rounds=(3, 1))
