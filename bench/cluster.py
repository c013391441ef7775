"""An engine and a worker as processes of their own, as a user starts them, and a client to both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from onward import NotConnected, SyncClient

from .primitives import free_port

START_S = 30


@dataclass(frozen=True)
class Cluster:
    home: Path
    url: str
    client: SyncClient
    engine: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]


@contextmanager
def cluster(home: Path, app: str) -> Generator[Cluster]:
    """Start both, yield when the engine answers, end both."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "ONWARD_URL": url, "ONWARD_TOKEN_FILE": str(home / "admin.token")}
    with ExitStack() as stack:
        engine = stack.enter_context(
            process(
                ["engine", "start", "--port", url.rpartition(":")[2], "--db", str(home / "onward.db")],
                environment,
                home / "engine.log",
            )
        )
        client = connected(url, home)
        worker = stack.enter_context(process(["run", app], environment, home / "worker.log"))
        wait_for_worker(client, home)
        yield Cluster(home, url, client, engine, worker)


@contextmanager
def process(arguments: list[str], environment: dict[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-m", "onward", *arguments], env=environment, stdout=out, stderr=out)
        try:
            yield child
        finally:
            child.terminate()
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


def wait_for_worker(client: SyncClient, home: Path) -> None:
    end = time.monotonic() + START_S
    while not client.list_workers():
        if time.monotonic() > end:
            raise SystemExit("the worker did not connect:\n" + (home / "worker.log").read_text(encoding="utf-8"))
        time.sleep(0.05)
