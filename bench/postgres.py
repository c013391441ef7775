"""What do durable steps cost on PostgreSQL, with one engine and with three? SAFE steps, everything on one machine.

    python -m bench.postgres [--steps 300] [--runs 1000] [--rounds 5] [--smoke]

- A sequential function alone: from step to step, as its worker sees it.
- 1,000 runs of 10 sequential steps, 100 in flight: at one engine with one worker, and at three engines with a worker
  each, on another database of the same server. Their client sends its requests to each in turn, as a balancer does.

Both are up all the time, and each round measures the primitives, then one after the other. The load, its clock and what
is checked afterwards are those of `bench.throughput`. CPU is that of engines, workers, client and database together.
The server has its default settings, so that every commit is flushed.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from onward import Client
from onward.calls import RunRecord

from . import primitives, report
from .cluster import PATIENCE, Cluster, engine
from .database import Costs, Database, database
from .lab import Primitives, Site, medians
from .processes import cpu_s
from .report import Answer, Figure
from .step_latency import HASTY_MAX, step_times
from .throughput import BATCH, Load, ends_s, expected, in_flight, verified
from .work import JOBS, STEPS, Job

PRESET = "SAFE"
SLOTS = 100
REPLICAS = 3
SAMPLES = 100
GROUPS = 30
STEP_US_MAX = 2_000
STEPS_PER_S_MIN = 4_000
REPLICAS_MIN = 0.75
LONE_WARM_UP = 200
LOAD_WARM_UP = 300


@dataclass(frozen=True)
class Group:
    """Engines on one database, a worker behind each."""

    engines: Sequence[Cluster]
    workers: Sequence[int]
    clients: Sequence[Client]
    url: str


@dataclass(frozen=True)
class Bench:
    site: Site
    database: Database
    one: Group
    many: Group


@dataclass(frozen=True)
class Loaded:
    """One load at a group of engines. CPU is in milliseconds a step, bytes are for each run."""

    steps_per_s: float
    in_flight: float
    cpu_ms: dict[str, float]
    wal_bytes: float
    kept_bytes: float


@dataclass(frozen=True)
class Round:
    machine: Primitives
    fastest_sync_us: float
    costs: Costs
    steps_us: list[float]
    one: Loaded
    many: Loaded

    @property
    def p50_us(self) -> float:
        return statistics.median(self.steps_us)

    @property
    def floor_us(self) -> float:
        """The least that a strict step can take: to the engine, a row and its commit, and back."""
        return self.machine.round_trip_us + self.costs.commit_us


async def measure(steps: int, runs: int, rounds: int) -> Answer:
    async with postgres_lab() as bench:
        await warm(bench, steps, runs)
        found = [await one_round(bench, steps, runs) for _ in range(rounds)]
        connections = await bench.database.connections(bench.many.url) / REPLICAS
    check_strict(found)
    return answer(found, steps, runs, connections)


async def warm(bench: Bench, steps: int, runs: int) -> None:
    await asyncio.to_thread(step_times, bench.one.engines[0], PRESET, min(steps, LONE_WARM_UP))
    for group in (bench.one, bench.many):
        await one_load(group, min(runs, LOAD_WARM_UP))


async def one_round(bench: Bench, steps: int, runs: int) -> Round:
    machine = await bench.site.primitives()
    fastest_us = min(primitives.fdatasyncs(bench.site.cluster.home, SAMPLES))
    costs = await bench.database.costs(min(SAMPLES, steps), GROUPS)
    alone = await asyncio.to_thread(step_times, bench.one.engines[0], PRESET, steps)
    one, many = [await loaded(bench.database, group, runs) for group in (bench.one, bench.many)]
    return Round(machine, fastest_us, costs, alone, one, many)


async def loaded(database: Database, group: Group, runs: int) -> Loaded:
    used = gauge(database, group)
    cpu_before, wal, size = used(), await database.wal_bytes(), await database.size_bytes(group.url)
    load = await one_load(group, runs)
    cpu = {name: (now - cpu_before[name]) / (runs * STEPS) * 1000 for name, now in used().items()}
    wal, size = await database.wal_bytes() - wal, await database.size_bytes(group.url) - size
    done = await verified(group.clients[0], PRESET, load.ids)
    return Loaded(rate(load, done), in_flight(done), cpu, wal / runs, size / runs)


def gauge(database: Database, group: Group) -> Callable[[], dict[str, float]]:
    """Seconds of CPU so far. The client is this process, without those that it has started."""
    parts = {
        "engines": [one.engine.pid for one in group.engines],
        "workers": group.workers,
        "database": [database.server.pid],
    }
    return lambda: {
        **{name: sum(map(cpu_s, pids)) for name, pids in parts.items()},
        "client": time.process_time(),
    }


async def one_load(group: Group, runs: int) -> Load:
    """Send the events, each request to the next engine, and wait for the end of the last run."""
    events = [JOBS[PRESET](Job(number)) for number in range(runs)]
    begun_at = time.time()
    ids: list[str] = []
    for n, first in enumerate(range(0, runs, BATCH)):
        client = group.clients[n % len(group.clients)]
        ids += [sent.runs[0].id for sent in await client.send(*events[first : first + BATCH])]
    await group.clients[0].wait(ids[-1], timeout=PATIENCE)
    return Load(ids, begun_at, time.time())


def rate(load: Load, done: Sequence[RunRecord]) -> float:
    """Steps a second. The database's clock, which writes the ends, is this machine's."""
    return len(done) * STEPS / (max(load.told_at, *ends_s(done)) - load.begun_at)


def check_strict(found: list[Round]) -> None:
    fastest_us = min(one.fastest_sync_us for one in found)
    times = [taken for one in found for taken in one.steps_us]
    hasty = sum(taken < fastest_us for taken in times)
    report.check(hasty <= HASTY_MAX * len(times), f"{hasty} of {len(times)} steps did not wait for the disk")


# -- processes ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def postgres_lab() -> AsyncGenerator[Bench]:
    """Start the server, a group of one engine, and a group of three."""
    with tempfile.TemporaryDirectory(prefix="onward-bench-", dir=".") as folder:
        async with primitives.echo_peer() as peer, database(Path(folder)) as base, AsyncExitStack() as stack:
            one = await group_of(1, room(folder, "one"), base, stack)
            many = await group_of(REPLICAS, room(folder, "many"), base, stack)
            yield Bench(Site(one.engines[0], peer), base, one, many)


async def group_of(count: int, home: Path, base: Database, stack: AsyncExitStack) -> Group:
    """Start so many engines, each with a worker; all workers together have the same number of slots."""
    url = await base.server.create_database(name=home.name)
    engines = [stack.enter_context(engine(home, url)) for _ in range(count)]
    workers = [stack.enter_context(one.worker(concurrency=-(-SLOTS // count))).pid for one in engines]
    clients = [await stack.enter_async_context(one.async_client()) for one in engines]
    return Group(engines, workers, clients, url)


def room(folder: str, name: str) -> Path:
    home = Path(folder, name)
    home.mkdir()
    return home


# -- figures -----------------------------------------------------------------------------------------------------------


def answer(found: list[Round], steps: int, runs: int, connections: float) -> Answer:
    return Answer(
        figures=(*lone_figures(found), *load_figures(found), *kept_figures(found, connections)),
        primitives=medians(one.machine for one in found) | medians(one.costs for one in found),
        checksum=report.checksum([steps, *expected(runs)]),
        details={
            "steps_us": [round(one.p50_us) for one in found],
            "one": [round(one.one.steps_per_s) for one in found],
            "many": [round(one.many.steps_per_s) for one in found],
        },
    )


def lone_figures(found: list[Round]) -> list[Figure]:
    p50 = statistics.median(one.p50_us for one in found)
    ratio = statistics.median(one.p50_us / one.floor_us for one in found)
    return [Figure("a lone step, p50", p50, "µs", at_most=STEP_US_MAX, ratio=ratio, to="(trip + commit of one row)")]


def load_figures(found: list[Round]) -> list[Figure]:
    ratio = statistics.median(one.one.steps_per_s / one.costs.rows_per_s for one in found)
    gain = statistics.median(one.many.steps_per_s / one.one.steps_per_s for one in found)
    to = "PostgreSQL rows/s in groups"
    return [
        Figure(
            "one engine", speed([one.one for one in found]), "steps/s", at_least=STEPS_PER_S_MIN, ratio=ratio, to=to
        ),
        *cpu_figures("one engine", [one.one for one in found]),
        Figure("three engines", speed([one.many for one in found]), "steps/s"),
        Figure("three engines / one", gain, "x", at_least=REPLICAS_MIN),
        *cpu_figures("three engines", [one.many for one in found]),
    ]


def speed(loads: list[Loaded]) -> float:
    return statistics.median(one.steps_per_s for one in loads)


def cpu_figures(name: str, loads: list[Loaded]) -> list[Figure]:
    parts = {part: statistics.median(one.cpu_ms[part] for one in loads) for part in loads[0].cpu_ms}
    total = statistics.median(sum(one.cpu_ms.values()) for one in loads)
    return [
        Figure(f"{name}, in flight", statistics.median(one.in_flight for one in loads), "runs"),
        Figure(f"{name}, CPU in all", total, "ms/step"),
        *(Figure(f"{name}, CPU of {part}", used, "ms/step") for part, used in parts.items()),
    ]


def kept_figures(found: list[Round], connections: float) -> list[Figure]:
    wal = statistics.median(one.one.wal_bytes for one in found)
    kept = statistics.median(one.one.kept_bytes for one in found)
    return [
        Figure(f"log of the database for a run of {STEPS} steps", wal / 1024, "KiB"),
        Figure(f"growth of the database by a run of {STEPS} steps", kept / 1024, "KiB"),
        Figure("connections of an engine", connections, ""),
    ]


if __name__ == "__main__":
    report.main("postgres", __doc__ or "", measure, steps=(300, 50), runs=(1_000, 60), rounds=(5, 1))
