"""How fast are large step outputs, and do beats stay on time behind them? Outputs of 64 KiB and of 1 MiB, SAFE.

    python -m bench.payload [--steps 20] [--parallel 8] [--seconds 12] [--rounds 5] [--smoke]

The step time is from body to body in one sequential run; `MB/s` is output that became durable, in one run and in
`parallel` runs at a time. The bytes do not compress. `ratio` compares with the round trip of a WebSocket message of
that size, there and back, plus an append of that size with fdatasync.

Beats: for so many seconds `parallel` runs stream outputs of 1 MiB, while a worker that writes down its beats shows how
long each took to be answered, and the longest time from one answered beat to the next. A worker beats at least every
5 s; one whose newest answered beat is older than 12 s starts no step.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

from onward import Client

from . import primitives, report
from .cluster import PATIENCE
from .lab import Primitives, Site, medians, percentile, site
from .report import Answer, Figure
from .work import Delivered, Parcels, deliver, noise, parcel

SIZES = {"64 KiB": 64 * 1024, "1 MiB": 1024 * 1024}
SAMPLES = 10
GAP_MS_MAX = 6_000


@dataclass(frozen=True)
class Found:
    """One size in one round."""

    step_ms: float
    floor_ms: float
    one_mb_s: float
    all_mb_s: float


@dataclass(frozen=True)
class Beats:
    """Milliseconds."""

    answer: list[float]
    gap: list[float]


async def measure(steps: int, parallel: int, seconds: int, rounds: int) -> Answer:
    found: dict[str, list[Found]] = {size: [] for size in SIZES}
    machine: list[Primitives] = []
    async with site() as here, here.cluster.async_client() as client:
        with here.cluster.worker():
            await deliveries(client, Parcels(2, 1024), 1)  # warm
            for _ in range(rounds):
                machine.append(await here.primitives())
                for size, results in found.items():
                    results.append(await one_size(here, client, Parcels(steps, SIZES[size]), parallel))
        beats = await beats_under_load(here, client, Parcels(steps, SIZES["1 MiB"]), parallel, seconds)
    return answer(found, beats, machine, steps)


async def one_size(here: Site, client: Client, parcels: Parcels, parallel: int) -> Found:
    payload = noise(parcels.size)
    trip = statistics.median(await primitives.round_trips(here.peer, SAMPLES, payload))
    sync = statistics.median(primitives.fdatasyncs(here.cluster.home, SAMPLES, payload))
    [alone], _ = await deliveries(client, parcels, 1)
    together, seconds = await deliveries(client, parcels, parallel)
    step_ms = statistics.median(after - before for before, after in pairwise(alone.begun_ns)) / 1e6
    taken_s = (alone.begun_ns[-1] - alone.begun_ns[0]) / 1e9
    megabytes = parcels.count * parcels.size / 1e6
    return Found(step_ms, (trip + sync) / 1000, megabytes / taken_s, megabytes * len(together) / seconds)


async def deliveries(client: Client, parcels: Parcels, count: int) -> tuple[list[Delivered], float]:
    """Let so many runs deliver at the same time, and check them. Returns what they say, and the seconds."""
    begun = time.monotonic()
    handles = [await client.start(deliver, parcels) for _ in range(count)]
    records = [await client.wait(handle.id, timeout=PATIENCE) for handle in handles]
    seconds = time.monotonic() - begun
    report.check(all(run.steps == parcels.count for run in records), f"not all of {parcels.count} steps are kept")
    found = [await handle.result() for handle in handles]
    last = parcel(parcels.count - 1, parcels.size)
    report.check(all(one.last == last for one in found), f"the last output of {parcels.size} bytes")
    return found, seconds


async def beats_under_load(here: Site, client: Client, parcels: Parcels, parallel: int, seconds: int) -> Beats:
    path = here.cluster.home / "beats"
    with here.cluster.worker_of("bench.tapped", str(path)):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await deliveries(client, parcels, parallel)
    beats = [tuple(int(moment) for moment in line.split()) for line in path.read_text(encoding="utf-8").splitlines()]
    sent = [beat[0] for beat in beats]
    return Beats(
        answer=[(read - written) / 1e6 for written, read in beats],
        gap=[(after - before) / 1e6 for before, after in pairwise(sent)],
    )


def answer(found: dict[str, list[Found]], beats: Beats, machine: list[Primitives], steps: int) -> Answer:
    return Answer(
        figures=(
            *(figure for size, results in found.items() for figure in figures_of(size, results)),
            Figure("beat to its answer, p50", percentile(beats.answer, 50), "ms"),
            Figure("beat to its answer, longest", max(beats.answer), "ms"),
            Figure("between answered beats, longest", max(beats.gap), "ms", at_most=GAP_MS_MAX),
        ),
        primitives=medians(machine),
        checksum=report.checksum(parcel(steps - 1, size) for size in SIZES.values()),
        details={"beats": len(beats.answer)},
    )


def figures_of(size: str, found: list[Found]) -> list[Figure]:
    ratio = statistics.median(one.step_ms / one.floor_ms for one in found)
    to = "(trip + fdatasync of that size)"
    return [
        Figure(f"{size}, step p50", statistics.median(one.step_ms for one in found), "ms", ratio=ratio, to=to),
        Figure(f"{size}, one run", statistics.median(one.one_mb_s for one in found), "MB/s"),
        Figure(f"{size}, runs in parallel", statistics.median(one.all_mb_s for one in found), "MB/s"),
    ]


if __name__ == "__main__":
    report.main("payload", __doc__ or "", measure, steps=(20, 3), parallel=(8, 2), seconds=(12, 1), rounds=(5, 1))
