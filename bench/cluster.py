"""An engine and workers as processes of their own, as a user starts them, and clients to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onward import Client, NotConnected, SyncClient

from .primitives import free_port

START_S = 30
END_S = 30
PATIENCE = "1m"
"""How long a benchmark waits for a run that should take moments: a run that hangs ends the benchmark, with an error."""

WORK = "bench.work:functions"


@dataclass(frozen=True)
class Cluster:
    home: Path
    url: str
    client: SyncClient
    engine: subprocess.Popen[bytes]
    environment: dict[str, str]

    @property
    def token(self) -> str:
        """The engine's admin token."""
        return (self.home / "admin.token").read_text(encoding="utf-8").strip()

    def async_client(self) -> Client:
        """Return a new client for asyncio code."""
        return Client(self.url, token=self.token)

    @contextmanager
    def worker(self, app: str = WORK, concurrency: int = 100) -> Generator[subprocess.Popen[bytes]]:
        """Start one more worker, yield when the engine has work for it, end it."""
        with self.worker_of("onward", "run", app, "--concurrency", str(concurrency)) as child:
            yield child

    @contextmanager
    def worker_of(self, *command: str, url: str = "") -> Generator[subprocess.Popen[bytes]]:
        """The same with a worker that `python -m COMMAND` starts, and that dials `url`, if it is another one."""
        known = self.instances()
        environment = self.environment | ({"ONWARD_URL": url} if url else {})
        with process(command, environment, self.home / "worker.log") as child:
            self._wait_for_another(known, child)
            yield child

    def instances(self) -> set[str]:
        """Return who is connected."""
        return {worker.instance for worker in self.client.list_workers()}

    def _wait_for_another(self, known: set[str], child: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_S
        while self.instances() <= known:
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit("no worker came:\n" + (self.home / "worker.log").read_text(encoding="utf-8"))
            time.sleep(0.02)


@contextmanager
def engine(home: Path, db: str = "") -> Generator[Cluster]:
    """Start an engine without workers, yield when it answers, end it. Without a `db` it keeps a SQLite file."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "ONWARD_URL": url, "ONWARD_TOKEN_FILE": str(home / "admin.token")}
    with engine_process(home, url, environment, db) as child:
        yield Cluster(home, url, connected(url, home), child, environment)


@contextmanager
def engine_process(
    home: Path, url: str, environment: dict[str, str], db: str = ""
) -> Generator[subprocess.Popen[bytes]]:
    """Start an engine, the first one in a folder or the next one, and end it."""
    address = ("--port", url.rpartition(":")[2], "--db", db or str(home / "onward.db"))
    options = (*address, "--admin-token-file", str(home / "admin.token"))
    with process(("onward", "engine", "start", *options), environment, home / "engine.log") as child:
        yield child


@contextmanager
def process(command: Sequence[str], environment: dict[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        child = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=out, stderr=out)
        try:
            yield child
        finally:
            end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask for the end, and insist after a while."""
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def connected(url: str, home: Path) -> SyncClient:
    end = time.monotonic() + START_S
    while True:
        try:
            client = SyncClient(url, token=(home / "admin.token").read_text(encoding="utf-8").strip())
            client.list_runs(limit=1)
            return client
        except (NotConnected, FileNotFoundError):
            if time.monotonic() > end:
                raise SystemExit(
                    "the engine did not start:\n" + (home / "engine.log").read_text(encoding="utf-8")
                ) from None
            time.sleep(0.05)
