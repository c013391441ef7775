"""What the machine itself costs, measured in the same run as the product, so that every figure can be a ratio.

* `round_trip_us`: a small binary message to a WebSocket echo server in another process and back, over loopback, with
  the libraries that Onward uses (uvicorn's sans-I/O WebSocket server, the `websockets` client).
* `fdatasync_us`: append 4 KiB to a file and fdatasync it, on the disk that holds the store.
* `group_commit_us`: one SQLite transaction that inserts 100 rows of 100 bytes, with the log and the sync of the store.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

PAYLOAD = b"x" * 100
BLOCK = b"x" * 4096
WARM_UP = 20
GROUP_ROWS = 100


async def round_trips(peer: ClientConnection, count: int, payload: bytes = PAYLOAD) -> list[float]:
    """Durations of `count` round trips in microseconds, after a short warm-up."""
    taken: list[float] = []
    for n in range(count + WARM_UP):
        begun = time.perf_counter()
        await peer.send(payload)
        await peer.recv()
        if n >= WARM_UP:
            taken.append((time.perf_counter() - begun) * 1e6)
    return taken


def fdatasyncs(directory: Path, count: int, block: bytes = BLOCK) -> list[float]:
    """Durations of `count` appends of a block with fdatasync, in microseconds."""
    path = directory / "fdatasync.probe"
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return [timed_append(out, block) for _ in range(count)]
    finally:
        os.close(out)
        path.unlink()


def timed_append(out: int, block: bytes) -> float:
    begun = time.perf_counter()
    os.write(out, block)
    os.fdatasync(out)
    return (time.perf_counter() - begun) * 1e6


def group_commits(directory: Path, count: int) -> list[float]:
    """Durations of `count` transactions of `GROUP_ROWS` rows in microseconds, on a new database."""
    path = directory / "group_commit.probe"
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        return [timed_commit(database) for _ in range(count)]
    finally:
        database.close()
        path.unlink()


def timed_commit(database: sqlite3.Connection) -> float:
    begun = time.perf_counter()
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO rows (data) VALUES (?)", [(PAYLOAD,)] * GROUP_ROWS)
    database.execute("COMMIT")
    return (time.perf_counter() - begun) * 1e6


@asynccontextmanager
async def echo_peer() -> AsyncGenerator[ClientConnection]:
    """A connection to an echo server in a process of its own."""
    with echo_server() as port:
        async with await dialled(port) as peer:
            yield peer


@contextmanager
def echo_server() -> Generator[int]:
    with echo_process() as (_, port):
        yield port


@contextmanager
def echo_process() -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Start the server; it may not answer yet."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.primitives", str(port)])
    try:
        yield server, port
    finally:
        server.terminate()
        server.wait()


async def dialled(port: int) -> ClientConnection:
    for _ in range(200):
        try:
            return await connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None, max_size=None)
        except OSError:
            await asyncio.sleep(0.05)
    raise TimeoutError("the echo server did not start")


def free_port() -> int:
    """Return a port that nobody has, below those that outgoing connections get: who dials a port before anybody listens
    on it could get that very port, and would be connected with himself and in the way of whoever is to listen.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def echo(peer: WebSocket) -> None:
    await peer.accept()
    try:
        while True:
            await peer.send_bytes(await peer.receive_bytes())
    except WebSocketDisconnect:
        return


def serve(port: int) -> None:
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/", echo)]),
        host="127.0.0.1",
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="error",
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]))
