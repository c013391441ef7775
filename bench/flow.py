"""Who is next, and how soon, when very many wait?

    python -m bench.flow [--queued 100000] [--runs 4000] [--rounds 5] [--samples 200] [--smoke]

A freed place: ten keys with room for one run each, and `samples` runs for each of them; what counts is the time from
the last line of one to the first line of the next one of its key.

Many queues: two engines, each with ten functions that have room for 200 runs of each value of a key. On both the same
number of runs is queued, on one of them for one value, on the other each for a value of its own. The rounds alternate;
the rate is counted in `runs` runs, from the engine's moment of the first end to that of the last.

One among many: a worker with ten slots, and so many runs queued that keep it busy. Then one run at a time of another
tenant where tenants take turns, and one that is urgent where there are priorities: what counts is the time from sending
its event to its first line, less the median of that without the crowd, and how many of the crowd began in between.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from onward import Client, Event, EventType, SyncClient

from . import report
from .backlog import Queue, Rate
from .calls import outputs
from .cluster import PATIENCE
from .flow_work import APP, FUNCTIONS, KEYED, SLOTS, Lined, Ranked, Shared, Turn
from .lab import Primitives, medians, percentile, site
from .report import Answer, Figure

KEYS = 10
PER_REQUEST = 5_000
FREED_MS_MAX = 50
RATE_MIN = 0.8
DELAY_MS_MAX = 100
"""Of a single run, by all others that are queued."""


@dataclass(frozen=True)
class Among:
    """A run at a time, alone and among many: how long until its first line, and how many began before it."""

    alone_ms: list[float] = field(default_factory=list[float])
    among_ms: list[float] = field(default_factory=list[float])
    before: list[int] = field(default_factory=list[int])

    @property
    def delays_ms(self) -> list[float]:
        """How much longer it took than alone."""
        usual_ms = statistics.median(self.alone_ms)
        return [taken_ms - usual_ms for taken_ms in self.among_ms]


@dataclass(frozen=True)
class Round:
    machine: Primitives
    one: Rate
    many: Rate


async def measure(queued: int, runs: int, rounds: int, samples: int) -> Answer:
    freed_ms = await freed(samples)
    found = await many_queues(queued, runs, rounds)
    fair = await among(queued, samples, Shared, lambda n: Turn(n, "noisy"), lambda: Turn(0, "quiet", 0, now()))
    urgent = await among(queued, samples, Ranked, Turn, lambda: Turn(0, "", "urgent", now()))
    return Answer(
        figures=(
            Figure("a freed place is used again, p50", percentile(freed_ms, 50), "ms"),
            Figure("a freed place is used again, p99", percentile(freed_ms, 99), "ms", at_most=FREED_MS_MAX),
            *rates(found, queued),
            *delays(f"a tenant's run beside {queued:,} of another one", fair),
            *delays(f"an urgent run before {queued:,} others", urgent),
        ),
        primitives=medians(one.machine for one in found),
        checksum=report.checksum([len(freed_ms), queued, runs]),
        details={"rounds": found, "fair": fair, "urgent": urgent},
    )


def rates(found: list[Round], queued: int) -> list[Figure]:
    ratio = statistics.median(one.many.per_s / one.one.per_s for one in found)
    cpu = statistics.median(one.many.cpu_ms / one.one.cpu_ms for one in found)
    return [
        Figure(f"dispatch from {queued:,} queues / from one", ratio, "x", at_least=RATE_MIN),
        Figure(f"engine's CPU of a run from {queued:,} queues / from one", cpu, "x"),
        Figure(f"dispatch from {queued:,} queues", statistics.median(one.many.per_s for one in found), "runs/s"),
    ]


def delays(name: str, found: Among) -> list[Figure]:
    return [
        Figure(f"{name}: later by, p50", percentile(found.delays_ms, 50), "ms"),
        Figure(f"{name}: later by, p99", percentile(found.delays_ms, 99), "ms", at_most=DELAY_MS_MAX),
        Figure(f"{name}: of them begun before it, at most", max(found.before), "runs"),
    ]


# -- a freed place -----------------------------------------------------------------------------------------------------


async def freed(samples: int) -> list[float]:
    """Return how long each place was free, in milliseconds."""
    async with site() as here, here.cluster.async_client() as client:
        with here.cluster.worker(APP):
            events = [Lined(Turn(number, f"key-{number % KEYS}")) for number in range(samples * KEYS)]
            runs = await put(client, events)
            await client.wait(runs[-1], timeout=PATIENCE)
            for run in runs[-KEYS:]:
                await client.wait(run, timeout=PATIENCE)
            moments = cast("list[tuple[int, int]]", await outputs(client, runs))
    by_key = [moments[key::KEYS] for key in range(KEYS)]
    gaps_ms = [(after[0] - before[1]) / 1e6 for line in by_key for before, after in pairwise(line)]
    report.check(min(gaps_ms) > 0, "two runs had one place, or one overtook another")
    return gaps_ms


async def put(client: Client, events: list[Event[Turn]]) -> list[str]:
    """Send events, many in a request; return their runs."""
    parts = [events[first : first + PER_REQUEST] for first in range(0, len(events), PER_REQUEST)]
    return [one.runs[0].id for part in parts for one in await client.send(*part)]


# -- many queues -------------------------------------------------------------------------------------------------------


async def many_queues(queued: int, runs: int, rounds: int) -> list[Round]:
    """Measure how fast runs are handed out, from one queue and from many, in turns."""
    async with site() as here, site() as there, here.cluster.async_client() as one, there.cluster.async_client() as two:
        single = Queue(here.cluster, one, event=lambda n: KEYED[0](Turn(n, "the same")), app=APP)
        many = Queue(there.cluster, two, event=lambda n: KEYED[n % FUNCTIONS](Turn(n, str(n))), app=APP)
        for queue in (single, many):
            with queue.cluster.worker(APP):
                pass
            await queue.put(runs * (rounds + 1) + queued)
            await queue.rate(runs)
        return [Round(await here.primitives(), await single.rate(runs), await many.rate(runs)) for _ in range(rounds)]


# -- one among many ----------------------------------------------------------------------------------------------------


async def among(
    queued: int, samples: int, event: EventType[Turn], other: Callable[[int], Turn], one: Callable[[], Turn]
) -> Among:
    """Send one event at a time, first alone and then while so many others are queued."""
    found = Among()
    async with site() as here, here.cluster.async_client() as client:
        with here.cluster.worker(APP, SLOTS):
            found.alone_ms.extend(first_line(here.cluster.client, event(one()))[0] for _ in range(samples))
            await put(client, [event(other(number)) for number in range(queued)])
            for _ in range(samples):
                taken_ms, before = first_line(here.cluster.client, event(one()))
                found.among_ms.append(taken_ms)
                found.before.append(before)
            report.check(bool((await client.list_runs(status="queued", limit=1)).runs), "the crowd was gone too early")
    return found


def first_line(client: SyncClient, event: Event[Turn]) -> tuple[float, int]:
    """Send an event; return how long it took until the first line of its run, and how many others began meanwhile."""
    [sent] = client.send(event)
    found: Any = sent.runs[0].result(timeout=PATIENCE)
    return (found[0] - event.data.sent_ns) / 1e6, found[1]


def now() -> int:
    return time.monotonic_ns()


if __name__ == "__main__":
    report.main(
        "flow",
        __doc__ or "",
        measure,
        queued=(100_000, 3_000),
        runs=(4_000, 100),
        rounds=(5, 1),
        samples=(200, 5),
    )
