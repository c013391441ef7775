"""The way to the engine, as far as one wants to go: each call opens a connection of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from msgspec.structs import replace
from onward.dialing.bypass import address_of
from onward.dialing.faults import TunnelRefused
from onward.dialing.line import Line, connect
from onward.dialing.names import Addresses, resolve
from onward.dialing.proxies import Proxy
from onward.dialing.trust import Trust
from onward.dialing.way import Target

from onward_cli.doctor.evidence import Knock, Names, Place, Tunnel

PATIENCE_S: Final = 5
"""A packet that is lost is sent again after 1 s and after 3 s; who has not answered then drops them."""

_TEMPORARY: Final = {socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)}


class Road:
    """The way to one engine, through a proxy or not. `addresses` are of whoever comes first."""

    def __init__(self, target: Target, proxy: Proxy | None, trust: Trust) -> None:
        self.target: Final = target
        self.proxy: Final = proxy
        self.trust: Final = trust
        self.addresses: Addresses = []

    @property
    def first(self) -> Place:
        """Whom this machine itself connects to."""
        if self.proxy is not None:
            return Place(host=self.proxy.host, port=self.proxy.port, is_proxy=True)
        return Place(host=self.target.host, port=self.target.port)

    async def look_up(self) -> Names:
        """Ask for the addresses of the first host, and keep them."""
        place = self.first
        try:
            self.addresses = await resolve(place.host, place.port)
        except OSError as error:
            is_temporary = error.errno in _TEMPORARY
            return Names(place=place, is_temporary=is_temporary, error=error.strerror or str(error))
        except UnicodeError as error:  # a label of more than 63 characters
            return Names(place=place, error=str(error))
        found = dict.fromkeys(str(address[4][0]) for address in self.addresses)
        return Names(place=place, addresses=tuple(found), is_literal=address_of(place.host) is not None)

    async def knock(self) -> Knock:
        """Connect to the first host."""
        place = self.first
        try:
            async with asyncio.timeout(PATIENCE_S), self._first() as line:
                address = line.transport.get_extra_info("peername")[0]
        except TimeoutError:
            return Knock(place=place, ended="silent", patience_s=PATIENCE_S)
        except OSError as error:
            return _knock(place, error)
        return Knock(place=place, address=address)

    async def ask_proxy(self, proxy: Proxy) -> Tunnel:
        """Ask the proxy for a tunnel. Raises `TlsFailed` if it is an https proxy that cannot be trusted."""
        tunnel = Tunnel(proxy=str(proxy), target=str(self.target), has_user=proxy.has_user)
        try:
            async with asyncio.timeout(PATIENCE_S), self.through():
                return tunnel
        except TunnelRefused as refused:
            answer = refused
        except TimeoutError:
            answer = TunnelRefused(f"the proxy {proxy} does not answer within {PATIENCE_S} s", status=504)
        except OSError as error:
            answer = TunnelRefused(f"the proxy {proxy} takes no second connection: {error.strerror or error}")
        return replace(tunnel, refusal=answer.message, status=answer.status, is_auth=answer.is_auth, wants=answer.wants)

    @asynccontextmanager
    async def to_proxy(self, context: ssl.SSLContext, host: str) -> AsyncGenerator[Line]:
        """A connection to an https proxy, encrypted so."""
        async with self._first() as line:
            await line.encrypt(context, host, f"the proxy {self.proxy}")
            yield line

    @asynccontextmanager
    async def through(self) -> AsyncGenerator[Line]:
        """A connection whose other end is the engine's host, not encrypted yet. Raises `DialError`."""
        async with self._first() as line:
            if self.proxy is not None:
                await line.tunnel(self.proxy, self.target, self.trust)
            yield line

    @asynccontextmanager
    async def to_engine(self, context: ssl.SSLContext, host: str) -> AsyncGenerator[Line]:
        """A connection to the engine's host, encrypted so. Raises `DialError`."""
        async with self.through() as line:
            await line.encrypt(context, host)
            yield line

    @asynccontextmanager
    async def _first(self) -> AsyncGenerator[Line]:
        line = await Line.on(await connect(self.addresses))
        try:
            yield line
        finally:
            line.abort()


def _knock(place: Place, error: OSError) -> Knock:
    says = error.strerror or str(error)
    match error.errno:
        case errno.ECONNREFUSED:
            return Knock(place=place, ended="refused", error=says)
        case errno.ETIMEDOUT:
            return Knock(place=place, ended="silent", error=says, patience_s=PATIENCE_S)
        case _:
            return Knock(place=place, ended="no_way", error=says)
