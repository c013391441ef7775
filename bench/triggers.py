"""What do timers, and events that nobody waits for, cost an engine when there are very many of them?

    python -m bench.triggers [--timers 10000] [--waits 100000] [--events 10000] [--seconds 5] [--samples 300] [--smoke]

No worker takes part: the runs stand parked in the database before the engine starts. The timers are all due in the same
second, and the time counts until the last run is awake; the second engine on them is killed in the middle, and another
goes on. The events come a hundred in a request, and match nothing; what counts is the engine's CPU for so many a
second, with 121 functions registered. One event a time, finally, against so many waits for that very name, each with a
value of its own: the medians of those that end none, and of those of a name that nobody waits for, alternating.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from onward import Client, Event
from onward_engine.model import Status
from onward_engine.store.port import RunFilter
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.codec import decode_engine_entries
from onward_protocol.messages import Due, EventWait, Match, Sleep, Wait

from . import report
from .cluster import Cluster, engine
from .lab import percentile
from .processes import cpu_s
from .report import Answer, Figure
from .waiting import fill

LEAD_MS = 4_000  # an engine starts in less
KILL_MS = 100
PATIENCE_S = 60
PER_REQUEST = 100
PAID = "bench/paid"


async def measure(timers: int, waits: int, events: int, seconds: int, samples: int) -> Answer:
    calm_ms = await fired(timers, is_killed=False)
    rough_ms = await fired(timers, is_killed=True)
    cores = await unmatched(events, seconds)
    alone_ms, among_ms, ended_ms = await against(waits, samples)
    return Answer(
        figures=(
            Figure(f"{timers:,} timers due together: the last run is awake after", calm_ms, "ms", at_most=2_000),
            Figure("the same, the engine killed and started again meanwhile", rough_ms, "ms"),
            Figure(f"{events:,} events/s that match nothing", cores, "cores", at_most=1),
            Figure("an event that nobody waits for, p50", alone_ms, "ms"),
            Figure(f"against {waits:,} waits for its name: p50 more", among_ms - alone_ms, "ms", at_most=1),
            Figure("one that ends one of these waits, p50", ended_ms, "ms"),
        ),
        primitives={},
        checksum=report.checksum([timers, waits]),
    )


# -- timers ------------------------------------------------------------------------------------------------------------


async def fired(count: int, *, is_killed: bool) -> float:
    """Let so many timers become due together; return how long it takes until the last run is awake, in milliseconds.
    Each has fired once, and none too early.
    """
    with tempfile.TemporaryDirectory(prefix="onward-bench-", dir=".") as home:
        path = Path(home) / "onward.db"
        now_ms = wall_ms()
        lead_ms = LEAD_MS + count  # making them takes a while too
        due_ms = now_ms + lead_ms
        runs = await fill(path, count, lambda _: Sleep(lead_ms), now_ms)
        with engine(Path(home)) as cluster:
            report.check(wall_ms() < due_ms, "the engine started after the timers were due")
            if is_killed:
                await asyncio.sleep((due_ms + KILL_MS - wall_ms()) / 1000)
                cluster.engine.kill()
                cluster.engine.wait()
                with engine(Path(home)) as another:
                    awake_ms = await all_awake(another.async_client())
            else:
                awake_ms = await all_awake(cluster.async_client())
        moments = await fired_at(path, runs)
    report.check(min(moments) >= due_ms, "a timer fired too early")
    return awake_ms - due_ms


async def all_awake(client: Client) -> int:
    """Return when no run is parked any more."""
    async with client:
        end = time.monotonic() + PATIENCE_S
        while (await client.list_runs(status="parked", limit=1)).runs:
            report.check(time.monotonic() < end, "timers that never fire")
            await asyncio.sleep(0.02)
        return wall_ms()


async def fired_at(path: Path, runs: list[str]) -> list[int]:
    """Return when the timer of each run was fired, of which there is exactly one entry."""
    store = SqliteStore(path, inline=True)
    await store.open()
    try:
        report.check(not (await store.runs(RunFilter(status=(Status.PARKED,)))).runs, "a run that nobody woke")
        pages = [await store.journal(run) for run in runs]
    finally:
        await store.close()
    entries = [[entry for data in page.entries for entry in decode_engine_entries(data)] for page in pages]
    report.check(all(len(own) == 1 for own in entries), "a timer that fired twice, or never")
    return [entry.at_ms for own in entries for entry in own if isinstance(entry, Due)]


# -- events ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(waits: int, wait: Callable[[int], Wait]) -> AsyncGenerator[tuple[Cluster, Client]]:
    with tempfile.TemporaryDirectory(prefix="onward-bench-", dir=".") as home:
        await fill(Path(home) / "onward.db", waits, wait, wall_ms())
        with engine(Path(home)) as cluster:
            async with cluster.async_client() as client:
                yield cluster, client


async def unmatched(a_second: int, seconds: int) -> float:
    """Return the cores that so many events a second take, however many of them the machine manages now."""
    async with running(1, lambda _: Sleep(60_000)) as (cluster, client):
        batch = [Event("bench/nobody", {"id": n, "total": 120, "tags": ["a", "b"]}) for n in range(PER_REQUEST)]
        await client.send(*batch)
        before_s, begun = cpu_s(cluster.engine.pid), time.monotonic()
        for n in range(a_second * seconds // PER_REQUEST):
            await client.send(*batch)
            await asyncio.sleep(max(0, begun + (n + 1) * PER_REQUEST / a_second - time.monotonic()))
        used_s = cpu_s(cluster.engine.pid) - before_s
        report.check(not (await client.list_runs(limit=1, function="bench/on-0")).runs, "an event that matched")
    return used_s / seconds


async def against(waits: int, samples: int) -> tuple[float, float, float]:
    """Return the medians, in milliseconds, of events for nobody, of those that look for a wait in vain, and of those
    that find one.
    """
    async with running(waits, lambda n: EventWait(PAID, (Match("id", str(n).encode()),))) as (_, client):
        alone: list[float] = []
        among: list[float] = []
        ended: list[float] = []
        for n in range(samples):
            alone.append(await sent_ms(client, Event("bench/nobody", {"id": n})))
            among.append(await sent_ms(client, Event(PAID, {"id": waits + n})))
            ended.append(await sent_ms(client, Event(PAID, {"id": (waits - 1 - n) % waits})))
        left = len((await client.list_runs(status="ready", limit=200)).runs)
        report.check(left == min(200, samples, waits), f"{left} runs were woken")
    return percentile(alone, 50), statistics.median(among), statistics.median(ended)


async def sent_ms(client: Client, event: Event[object]) -> float:
    begun_ns = time.monotonic_ns()
    await client.send(event)
    return (time.monotonic_ns() - begun_ns) / 1e6


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    report.main(
        "triggers",
        __doc__ or "",
        measure,
        timers=(10_000, 200),
        waits=(100_000, 500),
        events=(10_000, 1_000),
        seconds=(5, 1),
        samples=(300, 20),
    )
