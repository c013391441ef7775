"""Restate: its server, and a Python service to which the server streams over HTTP/2, both ways.

The server is durable by default: it syncs the log before it confirms a step. What it gains without that is measured
too. The service runs on one process: on Hypercorn, which Restate's documentation uses, with each of its event loops,
and on Granian, which is faster.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ..primitives import free_port
from . import environment
from .children import START_S, PeerFailed, child, listening, tail
from .load import WORK, loaded
from .setting import Peer, Running, Setting, Sizes

NAME = "restate"
SERVER = "@restatedev/restate-server@1.7.12"
PACKAGES = ("restate-sdk==1.3.0", "hypercorn==0.18.0", "granian==2.8.7", "uvloop==0.23.0", "aiohttp==3.14.5")
SIZES = Sizes(steps=300, runs=1_000, first_lines=100, fans=10)
APP = f"{WORK}.restate_app"
SYNCED = "the server's log is synced to disk"
NO_FSYNC = {"RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC": "true"}

Worker = Callable[[Path, int], list[str | Path]]
"""The command that serves the work on a port."""


def hypercorn(loop: str) -> Worker:
    return lambda interpreter, port: [interpreter, "-m", APP, str(port), loop]


def granian(interpreter: Path, port: int) -> list[str | Path]:
    address = ["--host", "127.0.0.1", "--port", str(port)]
    options = ["--interface", "asgi", "--http", "2", "--loop", "uvloop", "--workers", "1", "--no-ws"]
    return [interpreter, "-m", "granian", *address, *options, f"{APP}:app"]


def started(worker: Worker, extra: dict[str, str]) -> Callable[[Path], AbstractAsyncContextManager[Running]]:
    return lambda home: running(home, worker, extra)


@asynccontextmanager
async def running(home: Path, worker: Worker, extra: dict[str, str]) -> AsyncGenerator[Running]:
    interpreter, server = installed()
    ingress, admin, node, service = (free_port() for _ in range(4))
    settings = {**addresses(home, ingress, admin, node), **extra}
    async with AsyncExitStack() as stack:
        log = home / "server.log"
        engine = await stack.enter_async_context(
            child([server, "--no-logo"], log, environment=settings, end_by=signal.SIGTERM)
        )
        await listening(engine, ingress, log)
        served = await stack.enter_async_context(child(worker(interpreter, service), home / "worker.log"))
        await listening(served, service, home / "worker.log")
        facts = {**stated(server, settings), "streaming": await asyncio.to_thread(register, admin, service, log)}
        load = await stack.enter_async_context(
            loaded(interpreter, "restate_load", [f"http://127.0.0.1:{ingress}"], home)
        )
        await load.facts()
        yield Running(load, {"server": engine, "worker": served, "load": load.process}, facts)


def installed() -> tuple[Path, Path]:
    """Return the interpreter and the server itself, without the Node.js process that its package puts around it."""
    modules = environment.node(NAME, SERVER)
    servers = list(modules.glob("@restatedev/restate-server-*/bin/restate-server"))
    if not servers:
        raise PeerFailed("no Restate server for this machine")
    return environment.python(NAME, PACKAGES), servers[0]


def addresses(home: Path, ingress: int, admin: int, node: int) -> dict[str, str]:
    return {
        "RESTATE_BASE_DIR": str(home / "data"),
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_DISABLE_TELEMETRY": "true",
    }


def stated(server: Path, settings: dict[str, str]) -> dict[str, object]:
    """Return what the server makes of its settings."""
    said = subprocess.run([server, "--dump-config"], env=settings, check=True, capture_output=True, text=True)
    log_server = tomllib.loads(said.stdout)["log-server"]
    return {"log-server.rocksdb-disable-wal-fsync": log_server["rocksdb-disable-wal-fsync"]}


def register(admin: int, service: int, log: Path) -> str:
    """Tell the server of the service, as soon as it listens. Returns how it will talk to it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode(),
        {"content-type": "application/json"},
    )
    end = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(request, timeout=START_S).close()
            return streaming(admin)
        except urllib.error.URLError as refusal:
            if time.monotonic() > end:
                raise PeerFailed(f"{refusal}: {tail(log)}") from None
            time.sleep(0.1)


def streaming(admin: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/deployments", timeout=START_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return str(found["deployments"][0]["protocol_type"])


PEER = Peer(
    name=NAME,
    packages=(SERVER, *PACKAGES),
    install=installed,
    settings=(
        Setting(
            "Hypercorn asyncio",
            SYNCED,
            is_default=True,
            is_durable=True,
            sizes=SIZES,
            start=started(hypercorn("asyncio"), {}),
        ),
        Setting(
            "Hypercorn uvloop",
            SYNCED,
            is_default=False,
            is_durable=True,
            sizes=SIZES,
            start=started(hypercorn("uvloop"), {}),
        ),
        Setting(
            "Granian uvloop",
            SYNCED,
            is_default=False,
            is_durable=True,
            sizes=SIZES,
            start=started(granian, {}),
        ),
        Setting(
            "Hypercorn uvloop, no fsync",
            "written to the server's log, not synced",
            is_default=False,
            is_durable=False,
            sizes=SIZES,
            start=started(hypercorn("uvloop"), NO_FSYNC),
        ),
    ),
    not_measured="more worker processes than one: two cores are for everything",
)
