"""The first packets of a connection."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from onward.dialing.blocking import dial_blocking
from onward.dialing.faults import Unreachable
from onward.dialing.line import Line, connect, dial, resolve
from onward.dialing.trust import Trust
from onward.dialing.way import Way


async def test_a_name_is_looked_up_although_steps_hold_every_thread_of_the_loop() -> None:
    held = threading.Event()
    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        step = asyncio.create_task(asyncio.to_thread(held.wait))
        await asyncio.sleep(0)  # it takes the thread
        try:
            async with asyncio.timeout(5):
                assert {address[4][1] for address in await resolve("localhost", 8484)} == {8484}
        finally:
            held.set()
            await step


async def test_the_address_that_answers_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody, socket.create_server(("127.0.0.1", 0)) as server:
        dead = nobody.getsockname()
        nobody.close()
        places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (dead, server.getsockname())]
        with await connect(places) as opened:
            assert opened.getpeername() == server.getsockname()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such limit")
async def test_a_connection_on_which_nothing_is_acknowledged_ends_as_early_as_the_engine_gives_it_up() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, await connect(await resolve(*server.getsockname())) as opened:
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000


async def test_an_end_before_the_protocol_takes_over_is_not_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = await Line.on(await connect(await resolve(*server.getsockname())))
        server.accept()[0].close()
        while not line.transport.is_closing():  # noqa: ASYNC110 - it happens within the loop
            await asyncio.sleep(0)
        with pytest.raises(Unreachable, match="it ended the connection"):
            line.hand_over(asyncio.Protocol())
        line.abort()


async def test_a_host_that_no_name_can_be_is_not_found() -> None:
    with pytest.raises(Unreachable, match="cannot be found"):
        await dial(asyncio.Protocol(), "http://engine..test", Way(), Trust(Way()))


def test_blocking_code_takes_the_address_that_answers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody, socket.create_server(("127.0.0.1", 0)) as server:
        dead, alive = nobody.getsockname(), server.getsockname()
        nobody.close()

        def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (dead, alive)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        opened = dial_blocking("http://engine.test", Way(), Trust(Way()), 5)
        assert isinstance(opened, socket.socket)
        with opened:
            assert opened.getpeername() == alive
