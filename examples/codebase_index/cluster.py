"""The demo for many machines: three engines on one PostgreSQL, four workers, a balancer, and kills all the time.

Every part is a process. Each package of the standard library is a run of its own; while they are indexed, an engine
and a worker in turn are killed with SIGKILL and started again. Then the totals are compared with those of a plain
loop, and the ledger that the step bodies write tells how often something ran twice. Exits 1 if anything differs.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from onward import NotConnected
from onward.sync_client import SyncRunHandle

from .app import IndexRequest, IndexRequested
from .balancer import balancer
from .facts import Totals, facts_of, python_files, totals_of
from .stage import (
    PATIENCE_S,
    connect,
    equal,
    free_port,
    lines_of,
    result_of,
    start_engine,
    start_worker,
    wait_for_worker,
)

T = TypeVar("T")

ENGINES = 3
WORKERS = 4
AT_ONCE = 8
BETWEEN_KILLS_S = 1.0
DOWN_S = 0.5


@dataclass
class Part:
    """An engine or a worker, and how it is started again."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def revive(self) -> None:
        self.process = self.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@dataclass
class Job:
    """One package, indexed by one run."""

    directory: Path
    ledger: Path
    run: SyncRunHandle[Any] | None = None

    @property
    def files(self) -> list[str]:
        return python_files(self.directory)


def main() -> int:
    from tests.support.postgres import PostgresServer, why_not

    if reason := why_not():
        print(f"the demo {reason}: make setup", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="onward-cluster-") as folder, ExitStack() as stack:
        home = Path(folder)
        database = PostgresServer(home)
        database.start()
        stack.callback(database.stop)
        jobs = [Job(directory, home / f"ledger-{directory.name}") for directory in packages()]
        print(f"{ENGINES} engines on one PostgreSQL, {WORKERS} workers, {len(jobs)} runs; kills all the time.")
        kills = run_all(jobs, home, database.url(), stack)
        return verdict(jobs, [result_of(job.run) for job in jobs if job.run], kills)


def packages() -> list[Path]:
    """The packages of the standard library with the most files."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    folders = [one for one in stdlib.iterdir() if one.is_dir() and one.name != "site-packages"]
    folders.sort(key=lambda one: (-len(python_files(one)), one.name))
    return folders[:12]


def run_all(jobs: list[Job], home: Path, database: str, stack: ExitStack) -> Counter[str]:
    engines = [engine(home, database, number) for number in range(ENGINES)]
    port = stack.enter_context(balancer([int(part.name.rpartition(":")[2]) for part in engines]))
    url = f"http://127.0.0.1:{port}"
    client = connect(url, home)
    workers = [worker(url, home, number) for number in range(WORKERS)]
    for part in (*workers, *engines):
        stack.callback(part.stop)
    wait_for_worker(client)
    for job in jobs:
        [sent] = client.send(IndexRequested(request(job, home)))
        [job.run] = sent.runs
    return kill_until(lambda: all(status(job) == "completed" for job in jobs), engines, workers)


def engine(home: Path, database: str, number: int) -> Part:
    url = f"http://127.0.0.1:{free_port()}"

    def start() -> subprocess.Popen[bytes]:
        return start_engine(url, home, database, f"engine-{number}")

    return Part(f"engine :{url.rpartition(':')[2]}", start, start())


def worker(url: str, home: Path, number: int) -> Part:
    def start() -> subprocess.Popen[bytes]:
        return start_worker(url, home, f"worker-{number}")

    return Part(f"worker {number}", start, start())


def request(job: Job, home: Path) -> IndexRequest:
    return IndexRequest(str(job.directory), str(home / f"report-{job.directory.name}.md"), str(job.ledger))


def status(job: Job) -> str:
    assert job.run is not None
    status = retried(job.run.status)
    if status in ("failed", "cancelled"):
        raise SystemExit(f"run {job.run.id} is {status}")
    return status


def retried(ask: Callable[[], T]) -> T:
    """Ask again while the engine behind the balancer is being killed."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except NotConnected:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def kill_until(is_done: Callable[[], bool], engines: list[Part], workers: list[Part]) -> Counter[str]:
    kills: Counter[str] = Counter()
    end = time.monotonic() + PATIENCE_S
    for victim in victims(engines, workers):
        time.sleep(BETWEEN_KILLS_S)
        if is_done():
            return kills
        if time.monotonic() > end:
            raise SystemExit(f"not done after {PATIENCE_S} s")
        victim.kill()
        kills[victim.name.partition(" ")[0]] += 1
        print(f"  killed {victim.name}", flush=True)
        time.sleep(DOWN_S)
        victim.revive()
    raise AssertionError("victims never end")


def victims(engines: list[Part], workers: list[Part]) -> Iterator[Part]:
    for one, other in zip(itertools.cycle(engines), itertools.cycle(workers), strict=False):
        yield one
        yield other


def verdict(jobs: list[Job], results: list[Totals], kills: Counter[str]) -> int:
    ledgers = {job.directory.name: Counter(lines_of(job.ledger)) for job in jobs}
    expected = [totals_of(map(facts_of, job.files)) for job in jobs]
    same = len(results) == len(expected) and all(map(equal, results, expected))
    lost = [path for job in jobs for path in job.files if path not in ledgers[job.directory.name]]
    again = sum(count - 1 for ledger in ledgers.values() for count in ledger.values())
    allowed = kills["worker"] * AT_ONCE * len(jobs)
    print(f"kills:                                {kills['engine']} of engines, {kills['worker']} of workers")
    print(f"files in all reports:                 {sum(one.files for one in expected)}")
    print(f"totals equal those of a plain loop:   {'yes' if same else 'NO'}")
    print(f"lost steps:                           {len(lost)}")
    print(f"step bodies that ran more than once:  {again} (in flight at kills of workers: at most {allowed})")
    return 0 if same and not lost and again <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
