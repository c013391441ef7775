"""How long from an event to the first line of the function that it starts? And from a start to its result? Warm: the
worker is connected and has run the function before; one at a time, over HTTP on a kept connection.

    python -m bench.start_latency [--samples 50] [--rounds 11] [--smoke]

The first clock is read before the client encodes the event, the second in the first line of user code; both are
CLOCK_MONOTONIC, which the processes of one machine share. "Start to result" is `client.run` on a function with one SAFE
step: three requests, one after the other (start, wait for the end, read the output).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from . import report
from .cluster import PATIENCE, Cluster
from .lab import Primitives, lab, medians, percentile
from .report import Answer, Figure
from .work import Job, Started, mixed, one_step

WARM_UP = 20


@dataclass(frozen=True)
class Round:
    """Milliseconds."""

    machine: Primitives
    first_lines: list[float]
    results: list[float]


async def measure(samples: int, rounds: int) -> Answer:
    async with lab() as bench:
        await asyncio.to_thread(first_lines, bench.cluster, WARM_UP)
        await asyncio.to_thread(results, bench.cluster, WARM_UP)
        found = [
            Round(
                await bench.primitives(),
                await asyncio.to_thread(first_lines, bench.cluster, samples),
                await asyncio.to_thread(results, bench.cluster, samples),
            )
            for _ in range(rounds)
        ]
    return answer(found, samples)


def first_lines(running: Cluster, count: int) -> list[float]:
    return [first_line_ms(running, number) for number in range(count)]


def first_line_ms(running: Cluster, number: int) -> float:
    before_ns = time.monotonic_ns()
    [sent] = running.client.send(Started(Job(number)))
    [run] = sent.runs
    found: tuple[int, int] = run.result(timeout=PATIENCE)
    report.check(found[0] == number, f"event {number} came as {found[0]}")
    return (found[1] - before_ns) / 1e6


def results(running: Cluster, count: int) -> list[float]:
    return [result_ms(running, number) for number in range(count)]


def result_ms(running: Cluster, number: int) -> float:
    before_ns = time.monotonic_ns()
    result = running.client.run(one_step, number, timeout=PATIENCE)
    taken_ms = (time.monotonic_ns() - before_ns) / 1e6
    report.check(result == mixed(number), f"{number} gave {result}")
    return taken_ms


def answer(found: list[Round], samples: int) -> Answer:
    lines = [taken for one in found for taken in one.first_lines]
    ends = [taken for one in found for taken in one.results]
    line_ratio = statistics.median(statistics.median(one.first_lines) * 1000 / one.machine.floor_us for one in found)
    end_ratio = statistics.median(statistics.median(one.results) * 1000 / one.machine.floor_us for one in found)
    to = "(trip + fdatasync)"
    return Answer(
        figures=(
            Figure("event to first line, p50", percentile(lines, 50), "ms", at_most=2.5, ratio=line_ratio, to=to),
            Figure("event to first line, p99", percentile(lines, 99), "ms", at_most=10),
            Figure("start to result, p50", percentile(ends, 50), "ms", at_most=4, ratio=end_ratio, to=to),
            Figure("start to result, p99", percentile(ends, 99), "ms"),
        ),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum(mixed(number) for number in range(samples)),
    )


if __name__ == "__main__":
    report.main("start_latency", __doc__ or "", measure, samples=(50, 20), rounds=(11, 1))
