"""Every way from a worker and from both clients to an engine that speaks TLS: through real proxies."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from onward import NotConnected
from onward.connection.dialer import Dialer
from onward.connection.link import DialFailed, Refused
from onward.dialing.blocking import dial_blocking
from onward.dialing.trust import Trust
from onward.dialing.way import Way
from onward.settings import Settings

from tests.support.authority import Authority
from tests.support.boxes import Page
from tests.support.processes import free_port
from tests.support.socks import Socks
from tests.support.tunnel import Tunnels
from tests.support.ways import LOOPS, TOKEN, engine, failures, played, work

NAME = "engine.test"
"""Only the proxies know where this is."""

Start = Callable[[str], tuple[str, Tunnels]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whoever signs the certificates of the engine and of proxies."""
    found = Authority(tmp_path)
    found.sign(NAME, file="engine")
    return found


@pytest.fixture
def start(authority: Authority) -> Iterator[Start]:
    """Starts a proxy of a kind; returns its address, and what knows who was asked for."""
    with ExitStack() as stack:

        def starting(kind: str) -> tuple[str, Tunnels]:
            scheme, _, with_password = kind.partition(" ")
            words = ("me", "p@ss") if with_password else ()
            tls = authority.sign("127.0.0.1").listening() if scheme == "https" else None
            proxy = stack.enter_context(Socks(*words) if scheme == "socks5h" else Tunnels(*words, tls=tls))
            return f"{scheme}://{'me:p%40ss@' if words else ''}127.0.0.1:{proxy.port}", proxy

        yield starting


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["http", "http with a password", "https", "socks5h", "socks5h with a password"])
def test_an_engine_that_only_a_proxy_can_find_is_reached_through_it(
    kind: str, loop: str, authority: Authority, tmp_path: Path, start: Start
) -> None:
    address, proxy = start(kind)

    async def scene() -> None:
        async with engine(tmp_path) as running:
            url = f"https://{NAME}:{running.port}"
            await work(Settings.read({}, url=url, token=TOKEN, proxy=address, ca_file=str(authority.file)))
            assert set(proxy.asked) == {f"{NAME}:{running.port}"}

    played(scene(), loop)


@pytest.mark.parametrize("kind", ["http", "https with a password", "socks5h"])
def test_without_tls_the_way_is_the_same(kind: str, authority: Authority, tmp_path: Path, start: Start) -> None:
    address, proxy = start(kind)

    async def scene() -> None:
        async with engine(tmp_path, is_tls=False) as running:
            url = f"http://{NAME}:{running.port}"
            environ = {"ONWARD_PROXY": address, "ONWARD_CA_FILE": str(authority.file)}
            await work(Settings.read(environ, url=url, token=TOKEN))
            assert set(proxy.asked) == {f"{NAME}:{running.port}"}

    played(scene())


def test_a_name_may_be_in_any_script(authority: Authority, tmp_path: Path, start: Start) -> None:
    address, proxy = start("http")
    authority.sign("xn--e1afmkfd.test", file="engine")

    async def scene() -> None:
        async with engine(tmp_path) as running:
            url = f"https://пример.test:{running.port}"
            await work(Settings.read({}, url=url, token=TOKEN, proxy=address, ca_file=str(authority.file)))
            assert set(proxy.asked) == {f"xn--e1afmkfd.test:{running.port}"}

    played(scene())


def test_the_environment_s_proxy_is_passed_by_for_who_is_named_in_no_proxy(
    authority: Authority, tmp_path: Path, start: Start
) -> None:
    address, proxy = start("http")
    authority.sign("127.0.0.1", file="engine")

    async def scene() -> None:
        async with engine(tmp_path) as running:
            environ = {"HTTPS_PROXY": address, "NO_PROXY": ".svc,127.0.0.0/8"}
            url = f"https://127.0.0.1:{running.port}"
            await work(Settings.read(environ, url=url, token=TOKEN, ca_file=str(authority.file)))
            assert proxy.asked == []

    played(scene())


def told(settings: Settings) -> list[DialFailed | NotConnected]:
    """Return what everything that goes this way fails with."""
    found: list[DialFailed | NotConnected] = []

    async def scene() -> None:
        found.extend(await failures(settings))

    played(scene())
    return found


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_that_wants_a_password_is_asked_once(scheme: str, start: Start) -> None:
    """Asking again and again with a wrong one would lock the account."""
    address, _ = start(f"{scheme} with a password")
    for wrong in (address.replace("me:p%40ss@", ""), address.replace("p%40ss", "secret")):
        dialer, *clients = told(Settings.read({}, url=f"https://{NAME}", proxy=wrong))
        assert isinstance(dialer, Refused)
        assert [error.code for error in clients if isinstance(error, NotConnected)] == ["E0408", "E0408"]
        assert "secret" not in str(dialer)


def test_a_proxy_that_is_not_there_is_named_and_looked_for_again() -> None:
    errors = told(Settings.read({}, url=f"https://{NAME}", proxy=f"http://me:secret@127.0.0.1:{free_port()}"))
    assert isinstance(errors[0], DialFailed)
    assert all("the proxy http://me:***@127.0.0.1:" in str(error) for error in errors)


def test_an_https_proxy_that_nobody_knows_is_not_told_the_password(tmp_path: Path) -> None:
    with Tunnels("me", "p@ss", tls=Authority(tmp_path, "Somebody").sign("127.0.0.1").listening()) as proxy:
        errors = told(Settings.read({}, url=f"https://{NAME}", proxy=f"https://me:p%40ss@127.0.0.1:{proxy.port}"))
    assert all(f"the certificate of the proxy https://me:***@127.0.0.1:{proxy.port} is not" in str(e) for e in errors)
    assert proxy.asked == []


def test_a_name_that_nobody_knows_is_told_as_such() -> None:
    for error in told(Settings.read({}, url="https://engine.invalid")):
        assert "the engine at https://engine.invalid cannot be found" in str(error)


class Dying(Page):
    """Is killed right behind its answer."""

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        await super().connected(reader, writer)
        writer.transport.abort()


@pytest.mark.parametrize("kind", [Page, Dying])
def test_blocking_code_hears_the_end_of_tls_within_tls(kind: type[Page], authority: Authority) -> None:
    tls, inner = (authority.sign(host).listening() for host in ("127.0.0.1", NAME))
    with Tunnels(tls=tls) as proxy, kind("HTTP/1.1 200 OK", "hello", tls=inner) as page:
        way = Way(proxy=proxy.url, ca_file=str(authority.file))
        with closing(dial_blocking(f"https://{NAME}:{page.port}", way, Trust(way), 5)) as opened:
            opened.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with opened.makefile("rb") as answer:
                assert answer.read().endswith(b"\r\n\r\nhello")


async def test_a_proxy_that_is_busy_says_for_how_long() -> None:
    with Page("HTTP/1.1 503 Busy\r\nRetry-After: 7") as proxy, pytest.raises(DialFailed, match="503 Busy") as caught:
        await Dialer(f"https://{NAME}", str, Way(proxy=proxy.url))()
    assert caught.value.retry_after_ms == 7_000
