"""Does dispatch slow down when a million runs are queued? And how much memory does the engine need for them?

    python -m bench.backlog [--queued 1000000] [--runs 4000] [--rounds 61] [--smoke]

Two engines. On one nothing else is queued: each round queues `runs` events while no worker is there, then starts a
worker. On the other the same events stand at the head of a backlog. The rate is counted in runs of a function without
steps: from the engine's moment of the first end to that of the last, with 100 in flight. The rounds alternate between
the engines, and are many: one takes less than a second, and the ratio of two neighbours is anything from 0.5 to 1.4.

The backlog comes in by HTTP from one client, in requests of 5,000 events, one after the other: `ingest` is its rate,
`last / first` that of the last tenth against the first. The engine's memory is the most that it ever had resident.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onward import Client, Event
from onward.calls import RunRecord

from . import report
from .calls import all_over, outputs, records
from .cluster import PATIENCE, WORK, Cluster
from .lab import Primitives, Site, medians, site
from .processes import CPU_STEP_S, cpu_s, rss_max_kib
from .report import Answer, Figure
from .work import Job, Queued, mixed

BATCH = 5_000
ENGINE_MIB_MAX = 512
RATE_MIN = 0.8
OVERRUN = 500


@dataclass(frozen=True)
class Rate:
    """Runs that ended in a second, and the engine's CPU for each."""

    per_s: float
    cpu_ms: float


@dataclass
class Queue:
    """One engine, and the runs that were queued there in their order; their numbers count from 0."""

    cluster: Cluster
    client: Client
    runs: list[str] = field(default_factory=list[str])
    taken: int = 0
    """Runs at the head that a worker has had."""
    put_s: list[float] = field(default_factory=list[float])
    """How long each request took."""
    event: Callable[[int], Event[Any]] = lambda number: Queued(Job(number))
    app: str = WORK

    async def put(self, count: int) -> None:
        for first in range(0, count, BATCH):
            events = [self.event(len(self.runs) + n) for n in range(min(BATCH, count - first))]
            begun = time.monotonic()
            sent = await self.client.send(*events)
            self.put_s.append(time.monotonic() - begun)
            self.runs += [one.runs[0].id for one in sent]

    async def rate(self, count: int) -> Rate:
        """Let a worker have the next `count` runs, and perhaps a few more until it stops."""
        engine, first = self.cluster.engine.pid, self.taken
        ids = self.runs[first : first + count]
        with self.cluster.worker(self.app):
            before_s = cpu_s(engine)
            await self.client.wait(ids[-1], timeout=PATIENCE)
        used_s = max(cpu_s(engine) - before_s, CPU_STEP_S)
        found = await all_over(self.client, ids)
        expected = [mixed(number) for number in range(first, first + count)]
        report.check(await outputs(self.client, ids) == expected, "results of the queued runs")
        self.taken = await self._first_untouched(first + count)
        ends_ms = [run.ended_at_ms or 0 for run in found]
        per_s = (count - 1) / max(1, max(ends_ms) - min(ends_ms)) * 1000
        return Rate(per_s, used_s / (self.taken - first) * 1000)

    async def _first_untouched(self, place: int) -> int:
        while touched := [n for n, run in enumerate(await self._look(place)) if run.status != "queued"]:
            place += touched[-1] + 1
        return place

    async def _look(self, place: int) -> list[RunRecord]:
        return await records(self.client, self.runs[place : place + OVERRUN])


@dataclass(frozen=True)
class Round:
    machine: Primitives
    alone: Rate
    behind: Rate


async def measure(queued: int, runs: int, rounds: int) -> Answer:
    async with site() as quiet, site() as full, quiet.cluster.async_client() as one, full.cluster.async_client() as two:
        alone, behind = Queue(quiet.cluster, one), Queue(full.cluster, two)
        for queue in (alone, behind):
            await warm(queue, runs)
        await behind.put(queued)
        found = [await one_round(quiet, alone, behind, runs) for _ in range(rounds)]
        memory_mib = rss_max_kib(full.cluster.engine.pid) / 1024
    return answer(found, behind, runs, memory_mib)


async def warm(queue: Queue, runs: int) -> None:
    """Let the engine know the function, and have it run some: before it is known, an event starts nothing."""
    with queue.cluster.worker():
        pass
    await queue.put(runs)
    await queue.rate(runs)
    queue.put_s.clear()


async def one_round(quiet: Site, alone: Queue, behind: Queue, runs: int) -> Round:
    machine = await quiet.primitives()
    await alone.put(runs)
    return Round(machine, await alone.rate(runs), await behind.rate(runs))


def answer(found: list[Round], behind: Queue, runs: int, memory_mib: float) -> Answer:
    queued = len(behind.runs) - runs
    rate = statistics.median(one.behind.per_s / one.alone.per_s for one in found)
    cpu = statistics.median(one.behind.cpu_ms / one.alone.cpu_ms for one in found)
    first, last = tenths(behind.put_s)
    return Answer(
        figures=(
            Figure(f"dispatch with {queued:,} queued / with none", rate, "x", at_least=RATE_MIN),
            Figure(f"engine's CPU of a run with {queued:,} queued / with none", cpu, "x"),
            figure("dispatch, none queued", [(one.alone, one.machine) for one in found]),
            figure(f"dispatch, {queued:,} queued", [(one.behind, one.machine) for one in found]),
            Figure("engine's memory, at most", memory_mib, "MiB", at_most=ENGINE_MIB_MAX),
            Figure("ingest", queued / sum(behind.put_s), "events/s"),
            Figure("ingest, last tenth / first", first / last, "x"),
        ),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum(mixed(number) for number in range(runs)),
        details={"alone": [one.alone for one in found], "behind": [one.behind for one in found]},
    )


def figure(name: str, found: list[tuple[Rate, Primitives]]) -> Figure:
    rate = statistics.median(one.per_s for one, _ in found)
    ratio = statistics.median(one.per_s / machine.rows_per_s for one, machine in found)
    return Figure(name, rate, "runs/s", ratio=ratio, to="SQLite rows/s in groups")


def tenths(taken_s: list[float]) -> tuple[float, float]:
    """Return the seconds of the first and of the last tenth of the requests."""
    tenth = max(1, len(taken_s) // 10)
    return sum(taken_s[:tenth]), sum(taken_s[-tenth:])


if __name__ == "__main__":
    report.main("backlog", __doc__ or "", measure, queued=(1_000_000, 1_000), runs=(4_000, 100), rounds=(61, 1))
