"""The same way to the engine for code that blocks."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any, Final

from onward.dialing.faults import TlsFailed, Unreachable
from onward.dialing.layers import CHUNK_BYTES, Layer
from onward.dialing.line import prepare
from onward.dialing.proxies import Proxy
from onward.dialing.trust import Trust
from onward.dialing.tunnels import tunnel
from onward.dialing.way import Target, Way, target_of

ADDRESS_S: Final = 2.0
"""For each address of a name but the last: the first one may lead nowhere."""

LEAST_S: Final = 0.05

Connected = socket.socket | Layer


def dial_blocking(url: str, way: Way, trust: Trust, timeout_s: float) -> Connected:
    """Connect to the engine at `url`; each part of the way may take `timeout_s`. Raises `DialError`, or `ConfigError`
    if what is set cannot be used.
    """
    target, proxy, engine = target_of(url), way.choice(url).proxy, f"the engine at {url}"
    context = trust.to_engine() if target.is_tls else None
    opened = _first(proxy or target, f"the proxy {proxy}" if proxy else engine, timeout_s)
    try:
        if proxy is not None:
            if proxy.scheme == "https":
                opened = _encrypted(opened, trust.to_proxy(), proxy.host, f"the proxy {proxy}")
            _pass(opened, proxy, target, timeout_s)
        return opened if context is None else _to_engine(opened, context, target.host, engine)
    except BaseException:
        opened.close()
        raise


def _first(place: Target | Proxy, peer: str, timeout_s: float) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as failure:
        raise Unreachable(peer, failure) from failure
    until_s = time.monotonic() + timeout_s
    for left, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
        try:
            return _connected(address, min(ADDRESS_S, _remaining(until_s) / left), timeout_s)
        except OSError:
            continue
    try:
        return _connected(addresses[-1], _remaining(until_s), timeout_s)
    except OSError as failure:
        raise Unreachable(peer, failure) from failure


def _connected(address: tuple[Any, ...], wait_s: float, timeout_s: float) -> socket.socket:
    family, kind, protocol, _, where = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.settimeout(wait_s)
        opened.connect(where)
        opened.settimeout(timeout_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        prepare(opened)
    except BaseException:
        opened.close()
        raise
    return opened


def _pass(opened: socket.socket, proxy: Proxy, target: Target, timeout_s: float) -> None:
    handshake, until_s = tunnel(proxy, target), time.monotonic() + timeout_s
    try:
        sending = next(handshake)
        while True:
            opened.sendall(sending)
            if time.monotonic() > until_s:  # a byte now and then is no answer
                raise TimeoutError("it did not come to an end in time")
            opened.settimeout(_remaining(until_s))
            sending = handshake.send(opened.recv(CHUNK_BYTES))
    except StopIteration:
        opened.settimeout(timeout_s)
    except OSError as failure:
        raise Unreachable(f"the proxy {proxy}", failure) from failure


def _remaining(until_s: float) -> float:
    """Return the seconds until a moment; a little if it has passed, for zero would mean not to wait at all."""
    return max(until_s - time.monotonic(), LEAST_S)


def _to_engine(opened: socket.socket, context: ssl.SSLContext, host: str, peer: str) -> Connected:
    if not isinstance(opened, ssl.SSLSocket):
        return _encrypted(opened, context, host, peer)
    try:
        return Layer(opened, context, host)
    except (OSError, ValueError) as failure:
        raise TlsFailed(peer, failure) from failure


def _encrypted(opened: socket.socket, context: ssl.SSLContext, host: str, peer: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(opened, server_hostname=host)
    except (OSError, ValueError) as failure:
        raise TlsFailed(peer, failure) from failure
