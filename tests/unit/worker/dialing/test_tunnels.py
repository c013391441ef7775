"""What is said to proxies: scripts of bytes, in pieces of every size."""

from __future__ import annotations

from base64 import b64encode

import pytest
from onward.dialing.faults import TunnelRefused
from onward.dialing.proxies import parse_proxy
from onward.dialing.tunnels import HEAD_BYTES_MAX, tunnel
from onward.dialing.way import Target

ENGINE = Target("engine.test", 8484, is_tls=True)
OPEN = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00"


def talk(proxy: str, *answers: bytes, target: Target = ENGINE, piece: int = 1) -> bytes:
    """Return what is sent; the answers arrive in pieces."""
    handshake = tunnel(parse_proxy(proxy, "--proxy"), target)
    sent = next(handshake)
    data = b"".join(answers)
    try:
        for at in range(0, len(data), piece):
            sent += handshake.send(data[at : at + piece])
        handshake.send(b"")
    except StopIteration:
        return sent
    raise AssertionError("it wants more")


def refusal(proxy: str, *answers: bytes) -> TunnelRefused:
    with pytest.raises(TunnelRefused) as caught:
        talk(proxy, *answers)
    return caught.value


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_connect_asks_for_a_name_and_waits_for_the_end_of_the_answer(piece: int) -> None:
    sent = talk("http://proxy.test:3128", b"HTTP/1.0 200 fine\r\nVia: squid\r\n\r\n", piece=piece)
    assert sent.startswith(b"CONNECT engine.test:8484 HTTP/1.1\r\nHost: engine.test:8484\r\n")
    assert b"Authorization" not in sent


def test_connect_says_who_we_are() -> None:
    sent = talk("http://me:p%C3%A4ss@proxy.test", b"HTTP/1.1 200 OK\r\n\r\n")
    assert f"Proxy-Authorization: Basic {b64encode('me:päss'.encode()).decode()}\r\n".encode() in sent


def test_an_address_of_many_colons_is_in_brackets() -> None:
    sent = talk("http://proxy.test", b"HTTP/1.1 200 OK\r\n\r\n", target=Target("fd00::1", 443, is_tls=True))
    assert sent.startswith(b"CONNECT [fd00::1]:443 HTTP/1.1\r\n")


def test_a_proxy_that_wants_a_password_says_which_kinds_it_takes() -> None:
    answer = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
    wanted = refusal("http://proxy.test:3128", answer)
    assert (wanted.status, wanted.is_auth, wanted.is_final, wanted.code) == (407, True, True, "E0408")
    assert wanted.message == "the proxy http://proxy.test:3128 wants a user and a password (Negotiate, Basic)"


def test_a_wrong_password_is_not_tried_again_and_not_repeated() -> None:
    wanted = refusal("http://me:secret@proxy.test", b"HTTP/1.1 407 No\r\n\r\n")
    assert wanted.is_final
    assert wanted.message == "the proxy http://me:***@proxy.test:80 does not accept this user and password"


def test_a_refusal_of_a_proxy_may_pass_and_says_when() -> None:
    busy = refusal("http://proxy.test", b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n")
    assert (busy.status, busy.retry_after, busy.is_final, busy.code) == (503, "7", False, "E0433")
    assert busy.message.endswith("does not connect us to engine.test:8484: HTTP 503 Busy")


def test_what_a_proxy_says_is_no_command_for_a_terminal() -> None:
    busy = refusal("http://proxy.test", b"HTTP/1.1 503 \x1b[2J\x9b2JBusy\r\n\r\n")
    assert busy.message.endswith("HTTP 503 ?[2J?2JBusy")
    stranger = refusal("http://proxy.test", b"HTTP/1.1 407 No\r\nProxy-Authenticate: \x1b[2J x\r\n\r\n")
    assert stranger.message.endswith("(?[2J)")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\n" + b"x" * HEAD_BYTES_MAX,
    ],
)
def test_what_is_no_answer_of_an_http_proxy_is_refused(answer: bytes) -> None:
    with pytest.raises(TunnelRefused) as caught:
        talk("http://proxy.test", answer, piece=1000)
    assert caught.value.status == 0


@pytest.mark.parametrize("piece", [1, 2])
def test_socks_is_asked_for_a_name(piece: int) -> None:
    sent = talk("socks5h://proxy.test", b"\x05\x00" + OPEN, piece=piece)
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00\x03\x0bengine.test\x21\x24"


@pytest.mark.parametrize(
    ("host", "place"),
    [("10.0.0.1", b"\x01\x0a\x00\x00\x01"), ("fd00::1", b"\x04\xfd" + bytes(14) + b"\x01")],
)
def test_socks_is_told_an_address_as_what_it_is(host: str, place: bytes) -> None:
    sent = talk("socks5h://proxy.test", b"\x05\x00" + OPEN, target=Target(host, 443, is_tls=True))
    assert sent.endswith(b"\x05\x01\x00" + place + b"\x01\xbb")


@pytest.mark.parametrize("bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x04here" + bytes(2)])
def test_socks_may_answer_from_any_kind_of_address(bound: bytes) -> None:
    talk("socks5h://proxy.test", b"\x05\x00", b"\x05\x00\x00" + bound)


def test_socks_gets_user_and_password_when_it_wants_them() -> None:
    sent = talk("socks5h://me:secret@proxy.test", b"\x05\x02", b"\x01\x00", OPEN)
    assert sent.startswith(b"\x05\x02\x00\x02" + b"\x01\x02me\x06secret")


@pytest.mark.parametrize(
    ("proxy", "answers", "is_auth"),
    [
        ("socks5h://proxy.test", [b"\x05\xff"], True),
        ("socks5h://proxy.test", [b"\x05\x02"], True),
        ("socks5h://me:secret@proxy.test", [b"\x05\x02", b"\x01\x01"], True),
        ("socks5h://proxy.test", [b"\x05\x00", b"\x05\x02\x00\x01"], False),
        ("socks5h://proxy.test", [b"\x05\x00", b"\x05\x63\x00\x01"], False),
        ("socks5h://proxy.test", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], False),
        ("socks5h://proxy.test", [b"\x05"], False),
    ],
)
def test_refusals_of_socks_are_told_apart(proxy: str, answers: list[bytes], is_auth: bool) -> None:
    refused = refusal(proxy, *answers)
    assert (refused.is_auth, refused.is_final) == (is_auth, is_auth)
    assert "secret" not in refused.message


def test_a_rule_of_a_socks_proxy_is_named() -> None:
    refused = refusal("socks5h://proxy.test", b"\x05\x00", b"\x05\x02\x00\x01")
    assert (refused.status, refused.message.rpartition(": ")[2]) == (2, "its rules do not allow it")
