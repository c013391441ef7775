"""The real uvicorn, Starlette and websockets on the virtual network."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.importer import ImportFromStringError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.support import Direction, Network, simulate
from tests.support.server import serve

PORT = 8288
FRAME_BYTES = 2 + 4 + 10  # header, mask, payload


class Echo:
    """An app that answers each message with itself and keeps what it saw."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.codes: list[int] = []
        self.app = Starlette(routes=[WebSocketRoute("/connect", self.talk), Route("/", self.hello)])

    async def talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                self.received.append(await websocket.receive_bytes())
                await websocket.send_bytes(self.received[-1])
        except WebSocketDisconnect as error:
            self.codes.append(error.code)

    async def hello(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"hello {request.client.host}" if request.client else "hello")


def dial(**options: Any) -> Coroutine[Any, Any, ClientConnection]:
    return connect(f"ws://127.0.0.1:{PORT}/connect", proxy=None, compression=None, **options).connect()


def test_an_hour_of_conversation_takes_virtual_time_only() -> None:
    async def main(network: Network) -> float:
        network.latency_ms = (50, 50)
        started_s = asyncio.get_running_loop().time()
        async with serve(Echo().app, PORT), await dial() as websocket:
            await websocket.send(b"before")
            assert await websocket.recv() == b"before"
            await asyncio.sleep(3600)
            await websocket.send(b"after")
            assert await websocket.recv() == b"after"
            return asyncio.get_running_loop().time() - started_s

    started_s = time.perf_counter()
    assert simulate(main) == pytest.approx(3600 + 4 * 0.1)  # connect, upgrade, two echoes
    assert time.perf_counter() - started_s < 1


async def talk_for_a_while(network: Network) -> object:
    network.latency_ms, network.fragment_bytes = (1, 80), 30
    async with serve(Echo().app, PORT), await dial(ping_interval=1) as websocket:
        for number in range(20):
            await websocket.send(b"message %d" % number)
            assert await websocket.recv() == b"message %d" % number
            await asyncio.sleep(1)
    return network.trace


def test_the_same_seed_sends_the_same_bytes_at_the_same_moments() -> None:
    assert simulate(talk_for_a_while, seed=7) == simulate(talk_for_a_while, seed=7)


def test_another_seed_sends_other_masks_in_other_fragments() -> None:
    assert simulate(talk_for_a_while, seed=7) != simulate(talk_for_a_while, seed=8)


@pytest.mark.parametrize("after_bytes", range(1, FRAME_BYTES + 1))
def test_a_cut_at_each_byte_of_a_message_is_noticed_by_both_ends(after_bytes: int) -> None:
    echo = Echo()

    async def main(network: Network) -> None:
        async with serve(echo.app, PORT), await dial() as websocket:
            network.cut(after_bytes, Direction.TO_SERVER)
            await websocket.send(b"ten bytes!")
            with pytest.raises(ConnectionClosed):
                await websocket.recv()

    simulate(main)
    assert echo.received == ([b"ten bytes!"] if after_bytes == FRAME_BYTES else [])
    assert echo.codes == [1005] or echo.received


@pytest.mark.parametrize("after_bytes", range(1, 12))
def test_a_cut_at_each_byte_of_the_answer_loses_nothing_that_arrived(after_bytes: int) -> None:
    echo = Echo()

    async def main(network: Network) -> None:
        async with serve(echo.app, PORT), await dial() as websocket:
            network.cut(after_bytes, Direction.TO_CLIENT)
            await websocket.send(b"ten bytes!")
            with pytest.raises(ConnectionClosed):
                await websocket.recv()

    simulate(main)
    assert echo.received == [b"ten bytes!"]
    assert echo.codes == [1005]


def test_a_black_hole_leaves_both_ends_silent() -> None:
    echo = Echo()

    async def main(network: Network) -> None:
        async with serve(echo.app, PORT, ws_ping_interval=None), await dial(ping_interval=None) as websocket:
            network.black_hole()
            await websocket.send(b"into the void")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(websocket.recv(), 86_400)
            assert (echo.received, echo.codes) == ([], [])
            network.heal()
            with pytest.raises(ConnectionClosed):
                await websocket.recv()

    simulate(main)


def test_a_heartbeat_notices_a_black_hole_after_its_own_time() -> None:
    async def main(network: Network) -> int:
        async with serve(Echo().app, PORT), await dial(ping_interval=5, ping_timeout=10, close_timeout=1) as websocket:
            network.black_hole()
            started_s = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionClosed, match="keepalive ping timeout"):
                await websocket.recv()
            return round(asyncio.get_running_loop().time() - started_s)

    assert simulate(main) == 5 + 10 + 1


def test_a_stopping_server_says_so() -> None:
    async def main(_: Network) -> int | None:
        async with serve(Echo().app, PORT):
            websocket = await dial()
        with pytest.raises(ConnectionClosed) as caught:
            await websocket.recv()
        return caught.value.rcvd.code if caught.value.rcvd else None

    assert simulate(main) == 1012


def test_a_stopping_server_closes_connections_in_the_order_they_came() -> None:
    async def main(network: Network) -> list[int]:
        async with serve(Echo().app, PORT):
            websockets = [await dial() for _ in range(30)]
            before = len(network.trace)
        assert len(websockets) == 30
        closed = [passed.connection for passed in network.trace[before:] if passed.direction is Direction.TO_CLIENT]
        return list(dict.fromkeys(closed))

    assert simulate(main) == list(range(1, 31))


def test_a_server_that_cannot_start_says_why() -> None:
    async def main(_: Network) -> None:
        async with serve(Echo().app, PORT, http="no_such_module:Protocol"):
            pass

    with pytest.raises(ImportFromStringError, match="no_such_module"):
        simulate(main)


def test_a_dialled_socket_carries_a_websocket() -> None:
    async def main(network: Network) -> str | bytes:
        async with serve(Echo().app, PORT), await dial(sock=await network.dial("127.0.0.1", PORT)) as websocket:
            await websocket.send(b"hello")
            return await websocket.recv()

    assert simulate(main) == b"hello"


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_plain_requests_are_answered_too(http: str) -> None:
    async def main(network: Network) -> bytes:
        async with serve(Echo().app, PORT, http=http):
            with network.on_host("10.0.0.7"):
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            with contextlib.closing(writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
                return await reader.read()

    assert simulate(main).endswith(b"hello 10.0.0.7")


def test_an_unchanged_uvicorn_server_runs_as_well() -> None:
    async def main(network: Network) -> str | bytes:
        config = uvicorn.Config(Echo().app, ws="websockets-sansio", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[network.bind(port=PORT)]))
        await asyncio.sleep(0.1)
        async with await dial() as websocket:
            await websocket.send(b"hello")
            answer = await websocket.recv()
        server.should_exit = True
        await serving
        return answer

    assert simulate(main) == b"hello"


def test_a_client_that_reconnects_for_ever_gets_everything_through(seed: int) -> None:
    echo = Echo()

    async def main(network: Network) -> None:
        network.latency_ms, network.fragment_bytes = (1, 30), 8
        async with serve(echo.app, PORT):
            for number in range(5):
                network.cut(after_bytes=400 + 17 * seed)
                await send_until_answered(b"message %d" % number)

    simulate(main, seed=seed, shuffle=True)
    assert list(dict.fromkeys(echo.received)) == [b"message %d" % number for number in range(5)]


async def send_until_answered(message: bytes) -> None:
    while True:
        try:
            async with await dial() as websocket:
                await websocket.send(message)
                assert await websocket.recv() == message
                return
        except (OSError, WebSocketException):
            await asyncio.sleep(1)
