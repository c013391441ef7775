"""What is said to a proxy until it has connected us: HTTP's CONNECT and SOCKS5, without sockets.

A handshake is a generator. It yields what to send, may be nothing, and wants what has been received since; an empty
answer is the end of the connection. It returns when the tunnel is open, and raises `TunnelRefused`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator
from typing import Final

from onward.dialing.bypass import address_of
from onward.dialing.faults import TunnelRefused
from onward.dialing.proxies import Proxy
from onward.dialing.way import Target

Handshake = Generator[bytes, bytes, None]

HEAD_BYTES_MAX: Final = 16 * 1024
NAME_BYTES_MAX: Final = 255
AUTHENTICATION_REQUIRED: Final = 407

_NO_AUTHENTICATION, _PASSWORD, _NOTHING_FITS = 0, 2, 0xFF
_REPLIES: Final = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "the network is unreachable",
    4: "the host is unreachable or unknown",
    5: "the connection was refused",
    6: "nobody answered in time",
    7: "it does not know CONNECT",
    8: "it does not know this kind of address",
}


def tunnel(proxy: Proxy, target: Target) -> Handshake:
    """Return the handshake that makes a proxy connect us to a target."""
    return _Socks(proxy, target).connect() if proxy.scheme == "socks5h" else _Connect(proxy, target).connect()


def _shown(text: str) -> str:
    """Return the beginning of what a stranger says, for a terminal: nothing in it is a command."""
    return "".join(char if char.isprintable() else "?" for char in text[:80])


class _Talk:
    """What both have in common: bytes that have arrived and are not used yet."""

    def __init__(self, proxy: Proxy, target: Target) -> None:
        self._proxy = proxy
        self._target = target
        self._received = bytearray()

    def _more(self, sent: bytes = b"") -> Handshake:
        data = yield sent
        if not data:
            raise self._refused("it closed the connection")
        self._received += data

    def _end(self) -> None:
        """Nobody behind the proxy speaks before we do, so what follows the answer is not theirs."""
        if self._received:
            raise self._refused("it says more than was asked")

    def _refused(self, reason: str, *, status: int = 0, retry_after: str = "") -> TunnelRefused:
        message = f"the proxy {self._proxy} does not connect us to {self._target}: {reason}"
        return TunnelRefused(message, status=status, retry_after=retry_after)

    def _unwelcome(self, wants: str, status: int = 0) -> TunnelRefused:
        if self._proxy.has_user:
            message = f"the proxy {self._proxy} does not accept this user and password"
        else:
            message = f"the proxy {self._proxy} wants a user and a password"
        return TunnelRefused(message + (f" ({wants})" if wants else ""), status=status, is_auth=True, wants=wants)


class _Connect(_Talk):
    def connect(self) -> Handshake:
        yield from self._more(self._request())
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > HEAD_BYTES_MAX:
                raise self._refused("it does not come to an end")
            yield from self._more()
        head = bytes(self._received[:end]).decode("latin-1")
        del self._received[: end + 4]
        self._judge(head)
        self._end()

    def _request(self) -> bytes:
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}", "User-Agent: onward"]
        if self._proxy.has_user:
            words = b64encode(f"{self._proxy.user}:{self._proxy.password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {words}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _judge(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise self._refused(f"it does not speak HTTP: {first[:80]!r}")
        status = int(rest[:3])
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        if status == AUTHENTICATION_REQUIRED:
            kinds = (_shown(value.partition(" ")[0]) for name, value in fields if name == "proxy-authenticate")
            raise self._unwelcome(", ".join(dict.fromkeys(kinds)), status)
        if not 200 <= status < 300:
            raise self._refused(f"HTTP {_shown(rest)}", status=status, retry_after=dict(fields).get("retry-after", ""))


class _Socks(_Talk):
    """RFC 1928, and RFC 1929 for user and password."""

    def connect(self) -> Handshake:
        methods = bytes([_NO_AUTHENTICATION, *([_PASSWORD] if self._proxy.has_user else [])])
        version, method = yield from self._answer(2, bytes([5, len(methods)]) + methods)
        if version != 5:
            raise self._refused("it does not speak SOCKS5")
        if method == _PASSWORD and self._proxy.has_user:
            yield from self._introduce()
        elif method != _NO_AUTHENTICATION:
            raise self._unwelcome("" if method == _NOTHING_FITS else f"method {method}", status=method)
        yield from self._ask()
        self._end()

    def _introduce(self) -> Handshake:
        user, password = self._proxy.user.encode(), self._proxy.password.encode()
        _, status = yield from self._answer(2, bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if status:
            raise self._unwelcome("", status=status)

    def _ask(self) -> Handshake:
        request = b"\x05\x01\x00" + self._place() + self._target.port.to_bytes(2, "big")
        _, reply, _, kind = yield from self._answer(4, request)
        if reply:
            raise self._refused(_REPLIES.get(reply, f"reply {reply}"), status=reply)
        length = {1: 4, 4: 16}.get(kind) or (yield from self._answer(1))[0]
        yield from self._answer(length + 2)  # where it is connected from: of no use to us

    def _place(self) -> bytes:
        """The target: a name is left to the proxy to resolve."""
        address = address_of(self._target.host)
        if address is None:
            name = self._target.host.encode()
            if len(name) > NAME_BYTES_MAX:
                raise self._refused("the name is too long")
            return bytes([3, len(name)]) + name
        return bytes([1 if address.version == 4 else 4]) + address.packed

    def _answer(self, count: int, sent: bytes = b"") -> Generator[bytes, bytes, bytes]:
        """Send something, and return as many bytes of the answer."""
        if sent:
            yield from self._more(sent)
        while len(self._received) < count:
            yield from self._more()
        answer = bytes(self._received[:count])
        del self._received[:count]
        return answer
