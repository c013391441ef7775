"""What the demos share: engines and workers as processes, the ledger that the step bodies write, and a bar."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward import NotConnected, SyncClient
from onward.sync_client import SyncRunHandle

from .facts import Totals

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300


def result_of(run: SyncRunHandle[Any]) -> Totals:
    return Totals(**json.loads(json.dumps(run.result(timeout=PATIENCE_S))))


def equal(result: Totals, expected: Totals) -> bool:
    """Compare them as JSON, which knows no tuples."""
    return json.dumps(result.__dict__) == json.dumps(expected.__dict__)


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
    with running(start_engine(url, home, str(home / "onward.db"), "engine")) as child:
        yield child


@contextmanager
def worker(url: str, home: Path, name: str) -> Generator[subprocess.Popen[bytes]]:
    with running(start_worker(url, home, f"worker-{name}")) as child:
        yield child


@contextmanager
def running(child: subprocess.Popen[bytes]) -> Generator[subprocess.Popen[bytes]]:
    """A process that is ended by SIGTERM at the end."""
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


def start_engine(url: str, home: Path, db: str, name: str) -> subprocess.Popen[bytes]:
    port = url.rpartition(":")[2]
    token = ["--admin-token-file", str(home / "admin.token")]
    return start(["engine", "start", "--port", port, *token], {"ONWARD_DB": db}, home, name)


def start_worker(url: str, home: Path, name: str) -> subprocess.Popen[bytes]:
    environment = {"ONWARD_URL": url, "ONWARD_TOKEN_FILE": str(home / "admin.token")}
    return start(["run", "examples.codebase_index.app:functions"], environment, home, name)


def start(arguments: list[str], environment: dict[str, str], home: Path, name: str) -> subprocess.Popen[bytes]:
    """Start one `worker …` process with its log beside it."""
    with Path(home, f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "onward", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )


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
