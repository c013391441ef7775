"""The first packets of a connection."""

from __future__ import annotations

import asyncio
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from onward.dialing.blocking import dial_blocking
from onward.dialing.faults import TlsFailed, Unreachable
from onward.dialing.line import Line, connect, dial
from onward.dialing.names import resolve
from onward.dialing.trust import Trust
from onward.dialing.way import Way

from tests.support.ways import LOOPS, played


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


async def test_a_look_up_that_takes_longer_than_an_attempt_is_there_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a dead name server before the living one would keep us away for ever."""
    asked, answered = threading.Semaphore(0), threading.Event()

    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.release()
        answered.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 8484))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    first = asyncio.create_task(resolve("engine.test", 8484))
    await asyncio.to_thread(asked.acquire)
    first.cancel()
    second = asyncio.create_task(resolve("engine.test", 8484))
    await asyncio.sleep(0)
    answered.set()
    assert [place for *_, place in await second] == [("192.0.2.1", 8484)]
    assert not asked.acquire(blocking=False), "it was not looked up twice"


async def test_a_look_up_for_which_there_is_no_thread_fails_and_the_next_one_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Unreachable, match="the engine at http://localhost cannot be reached: no thread is left"):
            await dial(asyncio.Protocol(), "http://localhost", Way(), Trust(Way()))
    async with asyncio.timeout(5):
        assert await resolve("localhost", 80)


def test_a_program_ends_although_a_name_is_still_looked_up() -> None:
    program = """
import asyncio, socket, time
from onward.dialing.names import resolve
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
async def main():
    try:
        await asyncio.wait_for(resolve("engine.test", 1), 0.1)
    except TimeoutError:
        print("late")
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, timeout=20, stdout=subprocess.PIPE, text=True)
    assert ended.stdout == "late\n"


async def test_the_address_that_answers_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody, socket.create_server(("127.0.0.1", 0)) as server:
        dead = nobody.getsockname()
        nobody.close()
        places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (dead, server.getsockname())]
        with await connect(places) as opened:
            assert opened.getpeername() == server.getsockname()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such limit")
async def test_a_connection_on_which_nothing_is_acknowledged_ends_as_early_as_the_engine_gives_it_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        blocking = dial_blocking(f"http://127.0.0.1:{place[1]}", Way(), Trust(Way()), 5)
        assert isinstance(blocking, socket.socket)
        for opened in (blocking, await connect(await resolve(*place))):
            with opened:
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


@pytest.mark.parametrize("loop", LOOPS)
def test_encryption_of_a_connection_that_has_ended_fails_at_once(loop: str) -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            line = await Line.on(await connect(await resolve(*server.getsockname())))
            server.accept()[0].close()
            while not line.transport.is_closing():  # noqa: ASYNC110 - it happens within the loop
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                with pytest.raises(TlsFailed, match="it ended the connection"):
                    await line.encrypt(Trust(Way()).to_proxy(), "proxy.test")

    played(scene(), loop)


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


def test_blocking_code_does_not_wait_for_ever_for_a_proxy_that_says_a_byte_now_and_then() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as other:
        told = other.submit(_drip, server)
        way = Way(proxy=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(Unreachable, match=r"in time|timed out"):
            dial_blocking("http://engine.test", way, Trust(way), 0.5)
        assert told.result(timeout=5)


def _drip(server: socket.socket) -> bool:
    """Say a byte now and then for four seconds; tell whether the other end has left before."""
    opened, _ = server.accept()
    with opened:
        try:
            for _ in range(200):
                opened.sendall(b"x")
                if select.select([opened], [], [], 0.02)[0] and opened.recv(4096).find(b"CONNECT") < 0:
                    return True
        except ConnectionError:
            return True
    return False


def test_blocking_code_tells_a_peer_that_says_nothing_from_one_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TlsFailed, match=f"the engine at {url} does not answer while encryption is agreed on$"):
            dial_blocking(url, Way(), Trust(Way()), 0.1)


def test_blocking_code_shares_its_time_between_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Nobody(socket.socket):
        def connect(self, address: Any, /) -> None:
            waited.append(self.gettimeout() or 0)
            raise TimeoutError("timed out")

    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))

    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [place] * 100

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "socket", Nobody)
    with pytest.raises(Unreachable):
        dial_blocking("http://engine.test", Way(), Trust(Way()), 10)
    assert len(waited) == 100
    assert waited[0] <= 0.1
