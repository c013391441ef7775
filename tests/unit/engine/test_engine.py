"""The engine as a process: real sockets, a real file, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from onward_engine import CannotListen, Engine, Settings, StoreRefused
from onward_protocol.codec import decode_engine_message, encode, encode_message
from onward_protocol.limits import SUBPROTOCOL, VERSIONS
from onward_protocol.messages import GoAway, Hello, Welcome
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.unit.engine.peer import SHOP

SPOKEN = Subprotocol(SUBPROTOCOL)
HELLO = encode_message([encode(Hello(VERSIONS, "wrk_a", slots=4, apps=(SHOP,)))])

SERVE = """
import sys
from pathlib import Path
from onward_engine import Settings, serve
serve(Settings(port=0, dev=True, folder=Path(sys.argv[1])), started=lambda engine: print(engine.port, flush=True))
"""


@contextlib.asynccontextmanager
async def process(folder: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, int]]:
    """An engine in a process of its own, and its port."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert child.stdout is not None
    line = b""
    while not line.strip().isdigit():
        line = await child.stdout.readline()
        assert line, "the engine ended before it had started"
    try:
        yield child, int(line)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_an_engine_serves_workers_and_requests_on_one_port(tmp_path: Path) -> None:
    async with Engine(Settings(port=0, dev=True, folder=tmp_path)) as engine:
        async with connect(engine.url.replace("http", "ws") + "/connect", subprotocols=[SPOKEN]) as websocket:
            await websocket.send(HELLO)
            frames = decode_engine_message(await websocket.recv(decode=False))
            assert isinstance(frames[0], Welcome)
        reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_engine_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path) as (child, port):
        async with connect(f"ws://127.0.0.1:{port}/connect", subprotocols=[SPOKEN]) as websocket:
            await websocket.send(HELLO)
            await websocket.recv()
            child.send_signal(number)
            frames = decode_engine_message(await websocket.recv(decode=False))
            assert isinstance(frames[-1], GoAway)
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
        async with asyncio.timeout(3):
            assert await child.wait() == 0


async def test_a_port_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"Port {port} on 127.0.0.1 is in use"):
            await Engine(Settings(port=port, dev=True, folder=tmp_path)).start()


async def test_a_second_engine_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async with Engine(Settings(port=0, dev=True, folder=tmp_path)):
        with pytest.raises(StoreRefused):
            await Engine(Settings(port=0, dev=True, folder=tmp_path)).start()


async def test_stopping_twice_is_harmless_and_frees_the_file(tmp_path: Path) -> None:
    engine = Engine(Settings(port=0, dev=True, folder=tmp_path))
    await engine.start()
    await engine.stop()
    await engine.stop()
    async with Engine(Settings(port=0, dev=True, folder=tmp_path)):
        pass


async def test_the_first_start_makes_a_token_and_later_ones_keep_it(tmp_path: Path) -> None:
    async with Engine(Settings(port=0, folder=tmp_path)) as first:
        assert first.is_token_new
    async with Engine(Settings(port=0, folder=tmp_path)) as second:
        assert (second.token, second.is_token_new) == (first.token, False)
