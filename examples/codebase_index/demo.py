"""The demo: index the running interpreter's standard library while the worker is killed half-way, and count what ran
twice.

Engine and worker are separate processes. The count comes from the ledger that the step bodies write, not from the
engine's books, and the totals are compared with those of a plain loop over the same files. Exits 1 if anything differs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward import NotConnected, SyncClient
from onward.sync_client import SyncRunHandle

from .app import IndexRequest, IndexRequested
from .facts import Totals, facts_of, python_files, totals_of

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 8
PATIENCE_S = 300


def main() -> int:
    directory = Path(sysconfig.get_path("stdlib"))
    files = python_files(directory)
    with tempfile.TemporaryDirectory(prefix="onward-demo-") as home:
        print(f"Indexing {len(files)} files of {directory}, {AT_ONCE} at a time, one durable step each.")
        result, ledger = index_with_a_kill(directory, len(files), Path(home))
        print("\n" + Path(home, "report.md").read_text(encoding="utf-8"))
    return verdict(result, totals_of(map(facts_of, files)), ledger, files)


def index_with_a_kill(directory: Path, total: int, home: Path) -> tuple[Totals, Counter[str]]:
    ledger = home / "ledger"
    url = f"http://127.0.0.1:{free_port()}"
    with engine(url, home), worker(url, home, "first") as first:
        client = connect(url, home)
        wait_for_worker(client)
        [sent] = client.send(IndexRequested(IndexRequest(str(directory), str(home / "report.md"), str(ledger))))
        [run] = sent.runs
        watch(ledger, total, until=lambda done: done >= total // 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        print(f"\n  killed worker {first.pid} (SIGKILL) after {len(lines_of(ledger))} steps; starting another")
        with worker(url, home, "second"):
            watch(
                ledger,
                total,
                until=lambda done: run.status() not in ("queued", "assigned", "orphaned", "ready", "parked"),
            )
            return result_of(run), Counter(lines_of(ledger))


def result_of(run: SyncRunHandle[Any]) -> Totals:
    return Totals(**json.loads(json.dumps(run.result(timeout=PATIENCE_S))))


def verdict(result: Totals, expected: Totals, ledger: Counter[str], files: list[str]) -> int:
    again = {step: count - 1 for step, count in ledger.items() if count > 1}
    lost = [path for path in files if path not in ledger]
    same = result == expected or json.dumps(result.__dict__) == json.dumps(expected.__dict__)
    print(f"totals equal those of a plain loop:   {'yes' if same else 'NO'}")
    print(f"lost steps:                           {len(lost)}")
    print(f"step bodies that ran more than once:  {len(again)} (in flight at the kill: at most {AT_ONCE})")
    for path in again:
        print(f"    {path}")
    return 0 if same and not lost and len(again) <= AT_ONCE and max(again.values(), default=0) <= 1 else 1


def watch(ledger: Path, total: int, until: Callable[[int], bool]) -> None:
    """Show how many files were begun until the condition holds."""
    end = time.monotonic() + PATIENCE_S
    shown = -1
    while not until(done := len(set(lines_of(ledger)))):
        if time.monotonic() > end:
            raise TimeoutError(f"only {done} of {total} files after {PATIENCE_S} s")
        shown = show(min(done, total), total, shown)
        time.sleep(0.2)
    show(min(len(set(lines_of(ledger))), total), total, -1)


def show(done: int, total: int, shown: int) -> int:
    """A bar on a terminal; elsewhere a line for every tenth."""
    tenth = done * 10 // total
    if sys.stdout.isatty():
        print(f"\r  [{'#' * (tenth * 3):<30}] {done}/{total} files", end="", flush=True)
    elif tenth != shown:
        print(f"  {done}/{total} files", flush=True)
    return tenth


def lines_of(ledger: Path) -> list[str]:
    if not ledger.exists():
        return []
    return [line.partition(" ")[2] for line in ledger.read_text(encoding="utf-8").splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def engine(url: str, home: Path) -> Generator[subprocess.Popen[bytes]]:
    port = url.rpartition(":")[2]
    with process(["engine", "start", "--port", port, "--db", str(home / "onward.db")], url, home, "engine") as child:
        yield child


@contextmanager
def worker(url: str, home: Path, name: str) -> Generator[subprocess.Popen[bytes]]:
    with process(["run", "examples.codebase_index.app:functions"], url, home, f"worker-{name}") as child:
        yield child


@contextmanager
def process(arguments: list[str], url: str, home: Path, name: str) -> Generator[subprocess.Popen[bytes]]:
    """One `worker …` process with its log beside it; ended by SIGTERM at the end."""
    environment = {**os.environ, "ONWARD_URL": url, "ONWARD_TOKEN_FILE": str(home / "admin.token")}
    with Path(home, f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "onward", *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield child
        finally:
            child.terminate()
            child.wait()


def connect(url: str, home: Path) -> SyncClient:
    """The client, once the engine listens."""
    end = time.monotonic() + 30
    while True:
        try:
            client = SyncClient(url, token=Path(home, "admin.token").read_text(encoding="utf-8").strip())
            client.list_runs(limit=1)
            return client
        except (NotConnected, FileNotFoundError):
            if time.monotonic() > end:
                raise SystemExit(
                    "the engine did not start:\n" + Path(home, "engine.log").read_text(encoding="utf-8")
                ) from None
            time.sleep(0.05)


def wait_for_worker(client: SyncClient) -> None:
    """An event starts what is registered when it comes in, so the worker has to have said what it offers."""
    end = time.monotonic() + 30
    while not client.list_workers():
        if time.monotonic() > end:
            raise SystemExit("the worker did not connect")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
