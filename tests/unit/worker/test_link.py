"""Dialling the engine: what is sent, refused, tried again. The network is virtual, the websockets library is real."""

from __future__ import annotations

import asyncio
import http
import select
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from onward.address import check_privacy, is_loopback, socket_url
from onward.connection.dialer import Dialer, parse_retry_after
from onward.connection.link import DialFailed, LinkLost, Refused, has_ended
from onward.dialing.way import Way
from onward.errors import ConfigError
from onward_protocol.limits import SUBPROTOCOL
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support import Network, simulate
from tests.support.transport import has_ended as has_ended_virtually

URL = "http://127.0.0.1:8484"


@asynccontextmanager
async def server(
    network: Network,
    talk: Callable[[ServerConnection], Any] | None = None,
    answer: Callable[[ServerConnection, Request], Response | None] | None = None,
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
) -> AsyncGenerator[Server]:
    """Some WebSocket server at the engine's address."""

    async def idle(connection: ServerConnection) -> None:
        await connection.wait_closed()

    listening = network.bind(port=8484)
    protocols = [Subprotocol(name) for name in subprotocols] or None
    async with serve_websocket(
        talk or idle, sock=listening, process_request=answer, subprotocols=protocols, ping_interval=None
    ) as running:
        yield running


def dialer(network: Network, token: Callable[[], str] = lambda: "") -> Dialer:
    return Dialer(URL, token, open_socket=network.dial, has_ended=has_ended_virtually)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and leave it at that until the other end closes."""
    await reader.read()
    writer.close()


def refusing(status: int, **headers: str) -> Callable[[ServerConnection, Request], Response]:
    def answer(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus(status), "no")
        for name, value in headers.items():
            response.headers[name.replace("_", "-")] = value
        return response

    return answer


def test_messages_go_both_ways() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main(network: Network) -> None:
        async with server(network, echo):
            link = await dialer(network)()
            await link.send(b"\x00hello")
            assert await link.receive() == b"\x00hello"
            await link.close()
            with pytest.raises(LinkLost):
                await link.receive()

    simulate(main)


def test_the_token_is_read_again_for_every_attempt() -> None:
    seen: list[str | None] = []

    def note(connection: ServerConnection, request: Request) -> None:
        seen.append(request.headers.get("Authorization"))

    async def main(network: Network) -> None:
        tokens = iter(["onw_1", "onw_2", ""])
        dial = dialer(network, lambda: next(tokens))
        async with server(network, answer=note):
            for _ in range(3):
                await (await dial()).close()

    simulate(main)
    assert seen == ["Bearer onw_1", "Bearer onw_2", None]


@pytest.mark.parametrize(("status", "code"), [(401, "E0402"), (403, "E0402"), (426, "E0403")])
def test_an_engine_that_will_never_accept_us_is_not_asked_again(status: int, code: str) -> None:
    async def main(network: Network) -> str:
        async with server(network, answer=refusing(status)):
            with pytest.raises(Refused) as caught:
                await dialer(network)()
            return caught.value.code

    assert simulate(main) == code


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503])
def test_other_statuses_are_tried_again_after_what_the_engine_asks_for(status: int) -> None:
    async def main(network: Network) -> int | None:
        async with server(network, answer=refusing(status, Retry_After="7")):
            with pytest.raises(DialFailed, match=str(status)) as caught:
                await dialer(network)()
            return caught.value.retry_after_ms

    assert simulate(main) == 7_000


def test_what_takes_the_upgrade_out_is_no_engine_of_another_version() -> None:
    def answer(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus(426), '{"code": "upgrade_required", "status": 426}')
        response.headers["Content-Type"] = "application/problem+json"
        return response

    async def main(network: Network) -> None:
        async with server(network, answer=answer):
            with pytest.raises(DialFailed, match="took the Upgrade out"):
                await dialer(network)()

    simulate(main)


def test_an_address_that_sends_us_elsewhere_says_where() -> None:
    async def main(network: Network) -> None:
        async with server(network, answer=refusing(301, Location="https://new.example/")):
            with pytest.raises(DialFailed, match=r"HTTP 301 and wants us to go to https://new\.example/"):
                await dialer(network)()

    simulate(main)


def test_nobody_there_is_tried_again() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(DialFailed, match="cannot be reached"):
            await dialer(network)()

    simulate(main)


def test_a_server_that_never_answers_is_given_up_after_three_seconds() -> None:
    async def main(network: Network) -> float:
        silent = await asyncio.start_server(say_nothing, sock=network.bind(port=8484))
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(DialFailed, match="no answer"):
            await dialer(network)()
        silent.close()
        return asyncio.get_running_loop().time() - started_s

    assert simulate(main) == pytest.approx(3)


def test_another_websocket_server_is_not_taken_for_an_engine() -> None:
    async def main(network: Network) -> None:
        async with server(network, subprotocols=()):
            with pytest.raises(DialFailed, match="no Onward engine"):
                await dialer(network)()

    simulate(main)


def test_a_reset_connection_is_a_lost_link() -> None:
    async def main(network: Network) -> None:
        async with server(network):
            link = await dialer(network)()
            network.cut()
            with pytest.raises(LinkLost, match="broke"):
                await link.receive()

    simulate(main)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="this system does not say so")
def test_the_end_of_a_connection_is_known_before_what_was_sent_in_front_of_it_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
        with ours:
            theirs.sendall(b"last words")
            assert not has_ended(ours)
            theirs.close()
            while not has_ended(ours):
                pass
            assert ours.recv(100) == b"last words"


def test_a_link_that_is_cut_is_gone_although_nobody_has_read_so_far() -> None:
    async def main(network: Network) -> None:
        async with server(network):
            link = await dialer(network)()
            assert not link.is_gone()
            network.cut()
            assert link.is_gone()

    simulate(main)


def test_a_message_above_one_mib_is_refused_before_it_is_kept() -> None:
    async def flood(connection: ServerConnection) -> None:
        await connection.send(b"x" * (1024 * 1024))
        await connection.send(b"x" * (1024 * 1024 + 1))
        await connection.wait_closed()

    async def main(network: Network) -> None:
        async with server(network, flood):
            link = await dialer(network)()
            assert len(await link.receive()) == 1024 * 1024
            with pytest.raises(LinkLost):
                await link.receive()

    simulate(main)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8484", "ws://127.0.0.1:8484/connect"),
        ("https://engine.example/", "wss://engine.example/connect"),
        ("https://example.com/onward", "wss://example.com/onward/connect"),
    ],
)
def test_the_socket_is_below_the_engines_url(url: str, expected: str) -> None:
    assert socket_url(url) == expected


@pytest.mark.parametrize("url", ["", "localhost:8484", "ftp://host", "http://"])
def test_what_is_no_url_is_told_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="http://host:port"):
        socket_url(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://engine:1"])
def test_plain_http_is_fine_on_this_machine_and_tls_everywhere(url: str) -> None:
    check_privacy(url, insecure=False)


def test_a_token_does_not_cross_a_network_in_the_clear_unless_allowed() -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        check_privacy("http://engine.internal:8484", insecure=False)
    check_privacy("http://engine.internal:8484", insecure=True)
    assert not is_loopback("http://127.evil.example")


def test_this_machine_of_a_proxy_is_another_one() -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        check_privacy(URL, insecure=False, way=Way(proxy="proxy.test:3128"))
    check_privacy(URL, insecure=False, way=Way(variables={"HTTP_PROXY": "proxy.test:3128"}))


def test_retry_after_is_understood_in_both_forms() -> None:
    assert parse_retry_after("120", 0) == 120_000
    assert parse_retry_after("Thu, 01 Jan 1970 00:01:30 GMT", 60) == 30_000
    assert parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT", 60) == 0
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", 60) == 86_400_000
    assert parse_retry_after("soon", 0) is None
    assert parse_retry_after("", 0) is None
