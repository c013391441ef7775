"""How long does it take to move from SQLite to PostgreSQL, killed once on the way and begun again?

    python -m bench.promotion [--finished 100000] [--sleeping 1000] [--waiting 1000] [--smoke]

The file has runs that are over, that sleep and that wait for an event. `worker engine promote` gets a SIGKILL when it
has copied the runs, and is called again. Then as many runs have to be there in each state, the sleeps are over and the
event comes: every one of these runs has to be claimed and to end.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from onward_engine.model import Run
from onward_engine.store.port import Claim, Op, StartRun, Store
from onward_engine.store.postgres import PostgresStore
from onward_engine.store.sqlite import SqliteStore
from onward_protocol.messages import EventWait, Outcome, Parked, RunCompleted, Sleep, StepDone, WaitOpened, WorkerEntry

from tests.conformance.driver import WORKER, Driver, function

from . import report
from .database import database
from .lab import site
from .report import Answer, Figure

MOST_S = 90
BATCH = 500
CLAIMED = 50
AFFINITY_MS = 60_000
FUNCTION = "shop/work"
DONE = StepDone("step@0#0", bytes(100))
COUNT = """
SELECT status, count(*) AS n FROM (SELECT status FROM live UNION ALL SELECT status FROM ended) AS every GROUP BY status
"""


async def measure(finished: int, sleeping: int, waiting: int) -> Answer:
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as folder:
        file = Path(folder) / "onward.db"
        async with site() as here:
            machine = await here.primitives()
        filled = await fill(file, finished, sleeping, waiting)
        async with database(Path(folder)) as server:
            url = await server.server.create_database()
            begun_s = time.monotonic()
            killed = await promote(file, url, until="run:")
            await promote(file, url)
            took_s = time.monotonic() - begun_s
            found = await counted(url)
            report.check(found == filled, f"{found} arrived of {filled}")
            await go_on(url, sleeping + waiting)
    return Answer(
        figures=(Figure("killed once and repeated", took_s, "s", at_most=MOST_S),),
        primitives={"fdatasync_us": machine.fdatasync_us},
        checksum=report.checksum(sorted(filled.items())),
        details={"counts": dict(filled), "killed_behind": killed},
    )


async def fill(file: Path, finished: int, sleeping: int, waiting: int) -> Counter[str]:
    """Make a file with so many runs, and return how many are in each state."""
    async with opened(SqliteStore(file)) as driver:
        await driver.register(function("work"))
        await play(driver, finished, "f", DONE, outcome=RunCompleted(b"\xc0"))
        await play(driver, sleeping, "s", DONE, WaitOpened("nap@0#0", Sleep(1_000)), outcome=Parked())
        await play(driver, waiting, "w", DONE, WaitOpened("go@0#0", EventWait("go")), outcome=Parked())
    return Counter({"completed": finished, "parked": sleeping + waiting})


async def play(driver: Driver, count: int, prefix: str, *entries: WorkerEntry, outcome: Outcome) -> None:
    """Start so many runs, each of which writes one frame."""
    for names in batches([f"run_{prefix}{number}" for number in range(count)]):
        starts: list[Op[Any]] = [StartRun(driver.now, name, FUNCTION, b"\xc0") for name in names]
        claimed = (await driver.apply(*starts, claim(driver, names[0], len(names))))[-1]
        await driver.apply(*(driver.frame(one.run, 1, *entries, outcome=outcome) for one in claimed))


async def promote(file: Path, url: str, until: str = "") -> str:
    """Call the command; kill it when it says that this table is copied. Returns the last line before that."""
    command = [sys.executable, "-m", "onward", "engine", "promote", "--db", str(file), "--to", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = ""
    while line := (await process.stdout.readline()).decode():
        last = line.strip()
        if until and last.startswith(until):
            process.kill()
            break
    await process.wait()
    report.check(bool(until) or process.returncode == 0, f"promote ended with {process.returncode}")
    return last


async def counted(url: str) -> Counter[str]:
    """Return how many runs are in each state in the database."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "onward"})
    rows = await connection.fetch(COUNT)
    await connection.close()
    return Counter({row["status"]: row["n"] for row in rows})


async def go_on(url: str, count: int) -> None:
    """End what the runs wait for, and the runs."""
    async with opened(PostgresStore(url)) as driver:
        driver.now += AFFINITY_MS
        while await driver.fire(limit=BATCH):
            pass
        await driver.send("go")
        driver.now += AFFINITY_MS
        await driver.fire(limit=BATCH)
        ended = 0
        while runs := await claimed_runs(driver, ended):
            await driver.apply(*(driver.frame(run, 1, outcome=RunCompleted(b"\xc0")) for run in runs))
            ended += len(runs)
            await driver.fire(limit=BATCH)
    report.check(ended == count, f"{ended} of {count} runs went on")


async def claimed_runs(driver: Driver, number: int) -> list[Run]:
    return [one.run for one in await driver.one(claim(driver, f"go_{number}", CLAIMED))]


def claim(driver: Driver, name: str, limit: int) -> Claim:
    return Claim(driver.now, f"claim_{name}", WORKER, 1, (FUNCTION,), limit)


def batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), BATCH):
        yield names[first : first + BATCH]


@asynccontextmanager
async def opened(store: Store) -> AsyncGenerator[Driver]:
    """Open a store and give its driver."""
    await store.open()
    try:
        yield Driver(store)
    finally:
        await store.close()


if __name__ == "__main__":
    report.main("promotion", __doc__ or "", measure, finished=(100_000, 300), sleeping=(1_000, 60), waiting=(1_000, 60))
