"""Who may talk to the engine. The real server, on a network in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from onward_engine.auth import Access, is_loopback, read_or_make_token
from onward_engine.engine import Engine
from onward_engine.settings import Bounds, Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.web import CannotListen
from onward_protocol.codec import encode, encode_message
from onward_protocol.errors import CloseCode
from onward_protocol.limits import SUBPROTOCOL, VERSIONS
from onward_protocol.messages import Beat, Hello
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import Network, simulate
from tests.unit.engine.peer import SHOP, Peer, send
from tests.unit.engine.web import ask

TOKEN = "onw_admin_test"
BEARER = {"authorization": f"Bearer {TOKEN}"}
HELLO = encode_message([encode(Hello(VERSIONS, "wrk_a", slots=4, apps=(SHOP,)))])


@contextlib.asynccontextmanager
async def serving(network: Network, **settings: Any) -> AsyncGenerator[Engine]:
    chosen = Settings(token=TOKEN, **settings)
    async with Engine(chosen, MemoryStore(times=chosen.times), sock=network.bind()) as running:
        yield running


def dial(engine: Engine, path: str = "/connect", **options: Any) -> connect:
    url = engine.url.replace("http", "ws") + path
    chosen: dict[str, Any] = {
        "subprotocols": [SUBPROTOCOL],
        "additional_headers": BEARER,
        "proxy": None,
        **options,
    }
    return connect(url, **chosen)


async def refusal(engine: Engine, path: str = "/connect", **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        await dial(engine, path, **options)
    return refused.value.response.status_code, bytes(refused.value.response.body or b"").decode()


async def ending(websocket: ClientConnection) -> int:
    """Return the code that the engine closes with."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in websocket:
            pass
    assert websocket.close_code is not None
    return websocket.close_code


def test_a_worker_with_the_token_is_welcome() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as websocket:
            assert websocket.subprotocol == SUBPROTOCOL
            await websocket.send(HELLO)
            assert await websocket.recv()
            assert len(running.connections) == 1

    simulate(main)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}])
def test_a_wrong_token_is_a_plain_401_before_any_frame(headers: dict[str, str]) -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            status, body = await refusal(running, additional_headers=headers)
            assert (status, "ONWARD_TOKEN" in body) == (401, True)

    simulate(main)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
def test_a_web_page_cannot_open_the_workers_socket(origin: str) -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            assert (await refusal(running, origin=origin))[0] == 403

    simulate(main)


def test_another_subprotocol_is_refused_with_the_one_that_is_spoken() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            status, body = await refusal(running, subprotocols=["chat"])
            assert (status, SUBPROTOCOL in body) == (426, True)

    simulate(main)


def test_a_worker_whose_upgrade_was_taken_out_on_the_way_is_told_so_whatever_its_token() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            answer = await ask(running.app, "GET", "/connect")
            assert (answer.status, answer.json["code"]) == (426, "upgrade_required")
            assert answer.headers["upgrade"] == "websocket"

    simulate(main)


def test_there_is_one_socket_and_no_other() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            assert (await refusal(running, "/elsewhere"))[0] == 404

    simulate(main)


def test_every_route_but_the_health_checks_asks_for_the_token() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running:
            routes = [route for route in running.app.routes if isinstance(route, Route)]
            assert len(routes) >= 11
            open_routes = set[str]()
            for route in routes:
                for method in route.methods or ():
                    if (await ask(running.app, method, route.path)).status != 401:
                        open_routes.add(route.path)
            assert open_routes == {"/healthz", "/readyz", "/c/{token}"}

    simulate(main)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8484"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8484"}, 200),
        ({"host": "evil.example:8484"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost:8484", "origin": "http://localhost:8484"}, 200),
        ({"host": "localhost:8484", "origin": "http://evil.example"}, 403),
    ],
)
def test_a_development_engine_answers_this_machine_only(headers: dict[str, str], status: int) -> None:
    async def main(network: Network) -> None:
        async with serving(network, dev=True) as running:
            assert (await ask(running.app, "GET", "/v1/runs", headers=headers)).status == status

    simulate(main)


def test_a_development_engine_does_not_listen_to_the_network() -> None:
    async def main(_: Network) -> None:
        with pytest.raises(CannotListen, match="asks nobody for a token"):
            await Engine(Settings(dev=True, host="0.0.0.0"), MemoryStore()).start()

    simulate(main)


def test_a_corrupted_frame_closes_its_socket_with_a_code_and_the_others_live() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as bad:
            other = await Peer(running, instance="wrk_other").connect()
            await bad.send(HELLO)
            await bad.send(b"\x93\x01\x02")
            assert await ending(bad) == CloseCode.PROTOCOL
            assert (await other.complete(await send(running))).seq == 1

    simulate(main)


@pytest.mark.parametrize("message", ["text", b"", b"\xc0"])
def test_what_is_no_message_of_frames_is_refused(message: str | bytes) -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as websocket:
            await websocket.send(message)
            assert await ending(websocket) == CloseCode.PROTOCOL

    simulate(main)


def test_a_message_above_the_limit_is_refused_before_it_is_read() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as websocket:
            with contextlib.suppress(ConnectionClosed):
                await websocket.send(b"\0" * (1024 * 1024 + 1))
            assert await ending(websocket) == 1009

    simulate(main)


def test_a_socket_that_never_says_hello_is_closed_after_3_seconds() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as websocket:
            at_ms = running.clock.monotonic_ms()
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert 3_000 <= running.clock.monotonic_ms() - at_ms <= 3_100

    simulate(main)


def test_a_reader_that_takes_no_byte_for_10_seconds_is_given_up() -> None:
    async def main(network: Network) -> None:
        network.window_bytes = 1_000
        async with serving(network) as running, dial(running) as websocket:
            await websocket.send(HELLO)
            await websocket.recv()
            (connection,) = running.connections
            websocket.transport.pause_reading()
            at_ms = running.clock.monotonic_ms()
            for n in range(2_000):
                connection.fence(f"run_{n}", 1, "x" * 100)
            running.connections.flush()
            await connection.over
            assert "blocked" in connection.fault
            assert 10_000 <= running.clock.monotonic_ms() - at_ms <= 12_600

    simulate(main)


def test_a_worker_that_beats_but_does_not_read_is_given_up_before_much_waits_for_it() -> None:
    """Its beats say that it has seen nothing, and its socket takes all that it is given."""

    async def main(network: Network) -> None:
        bounds = Bounds(outbound_bytes_max=100_000)
        async with serving(network, bounds=bounds) as running, dial(running, ping_interval=None) as websocket:
            await websocket.send(HELLO)
            await websocket.recv()
            (connection,) = running.connections
            for n in range(2_000):  # 64 bytes each, ten a second
                connection.fence(f"run_{n}", 1, "x" * 50)
                running.connections.flush()
                await asyncio.sleep(0.1)
                if n % 50 == 0 and not connection.over.done():
                    await websocket.send(encode_message([encode(Beat(n + 1, 1, 0))]))
            assert "blocked: 100032 bytes wait for it" in connection.fault

    simulate(main)


def test_an_engine_that_stops_tells_its_workers_where_to_turn() -> None:
    async def main(network: Network) -> None:
        async with serving(network) as running, dial(running) as websocket:
            await websocket.send(HELLO)
            await websocket.recv()
            closing = asyncio.create_task(ending(websocket))
            await running.stop()
            assert await closing == CloseCode.GOING_AWAY

    simulate(main)


def test_the_admin_token_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "admin.token"
    token, is_new = read_or_make_token(path, "f" * 64)
    assert is_new
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_make_token(path, "e" * 64) == (token, False)
    assert Access(token).denial("/e", [(b"authorization", b"Bearer " + token.encode())], is_socket=False) is None


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False)]
)
def test_loopback_addresses_are_known(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected
