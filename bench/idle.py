"""What does waiting for work cost? The memory of an idle engine and of an idle worker, and of 1,000 and 10,000 workers.

    python -m bench.idle [--workers 1000] [--many 10000] [--seconds 12] [--smoke]

Memory is PSS: resident, with shared pages divided by the number of their users. Engine and worker are measured after
they have run a hundred steps. `ratio` compares with a Python process that has imported nothing but asyncio.

The 1,000 workers are connections of this process that speak the worker's own session: a Hello with the benchmark's
functions, then beats with a digest on time, for so many seconds. What the engine has grown by, divided by their number,
is compared with the growth of a plain WebSocket echo server (the same uvicorn) by as many idle connections. The 10,000
are measured on an engine of their own, which has done nothing else.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass

from onward.app import manifests

from . import primitives, report
from .cluster import PATIENCE, Cluster
from .crowd import connections_to, crowd
from .lab import Lab, lab, medians, site
from .processes import cpu_s, pss_kib
from .report import Answer, Figure
from .work import functions, mixed, one_step

STEPS = 100
KIB_MAX = 40
MANY_MIB_MAX = 400
MANY_CPU_MS_MAX = 250
SETTLE_S = 1.0
BARE = "import asyncio, sys; print(flush=True); sys.stdin.read()"


@dataclass(frozen=True)
class Alone:
    """MiB."""

    engine: float
    worker: float
    python: float


@dataclass(frozen=True)
class Crowd:
    """KiB for each worker, MiB for the whole engine; its CPU in milliseconds a second for all of them."""

    kib: float
    mib: float
    cpu_ms: float
    beats: int


async def measure(workers: int, many: int, seconds: int) -> Answer:
    async with lab() as bench:
        machine = [await bench.primitives()]
        await asyncio.to_thread(warm, bench)
        await asyncio.sleep(SETTLE_S)
        alone = Alone(mib(bench.cluster.engine.pid), mib(bench.worker.pid), await asyncio.to_thread(python_mib))
        crowded = await idle_workers(bench.cluster, workers, seconds)
        echo_kib = await idle_connections_kib(workers)
        machine.append(await bench.primitives())
    async with site() as empty:
        full = await idle_workers(empty.cluster, many, seconds)
    figures = (*own_figures(alone, crowded, echo_kib, workers), *many_figures(full, many))
    return Answer(
        figures=figures,
        primitives={**medians(machine), "python_mib": alone.python, "websocket_kib": echo_kib},
        checksum=report.checksum([mixed(number) for number in range(STEPS)] + [workers, many]),
        details={"beats": crowded.beats, "beats of many": full.beats},
    )


def warm(bench: Lab) -> None:
    for number in range(STEPS):
        result = bench.cluster.client.run(one_step, number, timeout=PATIENCE)
        report.check(result == mixed(number), f"the result of {number}")


def mib(pid: int) -> float:
    return pss_kib(pid) / 1024


def python_mib() -> float:
    """The memory of a Python process that has imported asyncio."""
    command = [sys.executable, "-c", BARE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None, "piped"
        assert child.stdout is not None, "piped"
        child.stdout.readline()
        used = mib(child.pid)
        child.stdin.close()
    return used


async def idle_workers(cluster: Cluster, count: int, seconds: int) -> Crowd:
    engine = cluster.engine.pid
    before_kib, known = pss_kib(engine), await asyncio.to_thread(cluster.instances)
    async with crowd(cluster.url, cluster.token, count, manifests(functions.functions.values())) as idlers:
        cpu_before = cpu_s(engine)
        await asyncio.sleep(seconds)
        used_s, kib = cpu_s(engine) - cpu_before, pss_kib(engine)
        connected = await asyncio.to_thread(cluster.instances)
        report.check(len(connected - known) == count, f"{len(connected - known)} of {count} workers are left")
        beats = sum(one.beats for one in idlers)
    return Crowd((kib - before_kib) / count, kib / 1024, used_s / seconds * 1000, beats)


async def idle_connections_kib(count: int) -> float:
    """What the same number of connections costs the library alone."""
    with primitives.echo_process() as (server, port):
        async with await primitives.dialled(port), AsyncExitStack() as stack:
            before_kib = pss_kib(server.pid)
            await connections_to(stack, f"ws://127.0.0.1:{port}/", count)
            await asyncio.sleep(SETTLE_S)
            return (pss_kib(server.pid) - before_kib) / count


def own_figures(alone: Alone, crowded: Crowd, echo_kib: float, workers: int) -> list[Figure]:
    python = "bare Python with asyncio"
    return [
        Figure("engine", alone.engine, "MiB", ratio=alone.engine / alone.python, to=python),
        Figure("worker", alone.worker, "MiB", ratio=alone.worker / alone.python, to=python),
        Figure(
            f"each of {workers:,} workers, in the engine",
            crowded.kib,
            "KiB",
            at_most=KIB_MAX,
            ratio=crowded.kib / echo_kib,
            to="idle WebSocket in uvicorn",
        ),
        Figure(f"engine's CPU for {workers:,} workers", crowded.cpu_ms, "ms/s"),
    ]


def many_figures(full: Crowd, many: int) -> list[Figure]:
    return [
        Figure(f"engine with {many:,} workers", full.mib, "MiB", at_most=MANY_MIB_MAX),
        Figure(f"engine's CPU for {many:,} workers", full.cpu_ms, "ms/s", at_most=MANY_CPU_MS_MAX),
    ]


if __name__ == "__main__":
    report.main("idle", __doc__ or "", measure, workers=(1_000, 20), many=(10_000, 40), seconds=(12, 1))
