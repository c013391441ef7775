"""Lost wake-ups: an event and a wait for it that are committed at the same moment by two engines on one PostgreSQL.

    python -m tests.wakeups [--pairs 20000] [--seed 0]

One store parks runs with waits, the other stores their events, in batches of up to sixteen that begin up to three
milliseconds apart. Each run has to be claimable then, with its event. Ends with 1 if one is not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from onward_engine.model import Run, Status
from onward_engine.store.port import Applied, ApplyCheckpoint, Claim, Ingest, StartRun
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import EventWait, Match, Parked, RunCompleted, WaitOpened

from tests.conformance.driver import WORKER, Driver, function
from tests.support.postgres import PostgresServer, why_not

BATCH = 16
APART_S = 0.003
AFFINITY_MS = 1_000
"""Until then a run that goes on is kept for its worker, and cannot be claimed."""

FUNCTION = "shop/work"


@dataclass(slots=True)
class Tally:
    """How the pairs met. Both ways have to be seen, or nothing was raced."""

    pairs: int = 0
    found_by_event: int = 0
    found_by_wait: int = 0
    lost: int = 0

    def __str__(self) -> str:
        met = f"{self.found_by_event:,} events found their wait, {self.found_by_wait:,} waits found their event"
        return f"{self.pairs:,} pairs: {met}, {self.lost:,} lost"


async def race(url: str, pairs: int, seed: int = 0) -> Tally:
    """Let so many pairs meet, on a database of their own."""
    rng, tally = random.Random(seed), Tally()
    async with driver(url) as waiting, driver(url) as sending:
        await waiting.register(function("work"))
        while tally.pairs < pairs:
            count = min(rng.randint(1, BATCH), pairs - tally.pairs)
            await race_batch(waiting, sending, rng, tally, count)
    return tally


async def race_batch(waiting: Driver, sending: Driver, rng: random.Random, tally: Tally, count: int) -> None:
    numbers = range(tally.pairs, tally.pairs + count)
    runs = await started(waiting, numbers)
    frames = [frame(waiting, run, number) for run, number in zip(runs, numbers, strict=True)]
    events = [sent(sending, number) for number in numbers]
    rng.shuffle(frames)
    rng.shuffle(events)
    parked, _ = await asyncio.gather(late(waiting, frames, rng), late(sending, events, rng))
    tally.found_by_wait += sum(one.status is Status.READY for one in parked)
    tally.found_by_event += len(sending.notices.woken)
    tally.lost += count - await completed(waiting, runs)
    tally.pairs += count


async def started(driver: Driver, numbers: Sequence[int]) -> list[Run]:
    starts = [StartRun(driver.now, f"run_{number}", FUNCTION, b"") for number in numbers]
    claimed = (await driver.apply(*starts, claim(driver, f"new_{numbers[0]}", len(numbers))))[-1]
    return [assignment.run for assignment in claimed]


async def completed(driver: Driver, runs: list[Run]) -> int:
    """Claim what may be claimed and end it; return how many of the runs came with their event."""
    driver.now += AFFINITY_MS
    claimed = await driver.one(claim(driver, f"back_{runs[0].id}", len(runs)))
    back = {one.run.id: one.run for one in claimed if len(one.entries) == 1}
    ends = [driver.frame(run, 1, outcome=RunCompleted(b"")) for run in back.values()]
    if ends:
        await driver.apply(*ends)
    return len(back.keys() & {run.id for run in runs})


async def late(driver: Driver, ops: Sequence[ApplyCheckpoint | Ingest], rng: random.Random) -> tuple[Applied, ...]:
    await asyncio.sleep(rng.choice((0, rng.uniform(0, APART_S))))
    return await driver.apply(*ops)


def frame(driver: Driver, run: Run, number: int) -> ApplyCheckpoint:
    """Park the run. Waits have a name of their own, or share one and an index, or share one and have a condition."""
    wait = (
        EventWait(f"go.{number}", after=run.ord),
        EventWait("go", (Match("number", str(number).encode()),), after=run.ord),
        EventWait("go", where=f"async.data.number == {number}", after=run.ord),
    )[number % 3]
    return driver.frame(run, run.seq + 1, WaitOpened("w", wait), outcome=Parked())


def sent(driver: Driver, number: int) -> Ingest:
    name = "go" if number % 3 else f"go.{number}"
    return Ingest(driver.now, (driver.new_event(name, {"number": number}, id=f"evt_{number}"),))


def claim(driver: Driver, id: str, limit: int) -> Claim:
    return Claim(driver.now, id, WORKER, 1, (FUNCTION,), limit)


@asynccontextmanager
async def driver(url: str) -> AsyncGenerator[Driver]:
    store = PostgresStore(url)
    await store.open()
    yield Driver(store)
    await store.close()


async def campaign(pairs: int, seed: int) -> Tally:
    """Start a server and let the pairs meet."""
    with tempfile.TemporaryDirectory(prefix="onward-wakeups-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            return await race(server.url(), pairs, seed)
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if reason := why_not():
        sys.exit(f"this {reason}")
    tally = asyncio.run(campaign(given.pairs, given.seed))
    print(tally)
    sys.exit(1 if tally.lost else 0)


if __name__ == "__main__":
    main()
