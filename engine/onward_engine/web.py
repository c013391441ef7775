"""The one port: uvicorn, started and stopped by the engine instead of by itself."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext

import uvicorn
from onward_protocol.limits import Limits
from starlette.types import ASGIApp

from .heads import Request
from .service import Service
from .sockets import Socket
from .tls import Certificates


class CannotListen(Exception):
    """The address cannot be used, in words that say what to do."""


class Web(Service):
    """Listens from `start` to `stop`; `port` is the real one, also if 0 was asked for."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        host: str,
        port: int,
        sock: socket.socket | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._socket = sock
        self._host = host
        self._port = port
        self._server = uvicorn.Server(_config(app, limits, certificates))

    @property
    def port(self) -> int:
        """Return the port that clients connect to."""
        assert self._socket is not None, "the port is known once the server has started"
        port: int = self._socket.getsockname()[1]
        return port

    async def _begin(self) -> None:
        if self._socket is None:
            self._socket = _bound(self._host, self._port)
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._socket])

    async def _run(self) -> None:
        # Uvicorn's own loop would wake up ten times a second to look whether it should stop.
        await self._server.on_tick(0)
        await asyncio.get_running_loop().create_future()

    def close_listeners(self) -> None:
        """Accept nobody new. May be repeated."""
        for server in getattr(self._server, "servers", ()):
            server.close()

    async def stop(self) -> None:
        """Stop listening, let answers that are being written leave, and close everything."""
        self.close_listeners()
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        await self._finish_tasks(patience_s=1.0)
        await super().stop()

    async def _finish_tasks(self, patience_s: float) -> None:
        tasks = set(self._server.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for connection in list(self._server.server_state.connections):
            with suppress(AttributeError):
                connection.transport.abort()


def _config(app: ASGIApp, limits: Limits, certificates: Certificates | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Request,
        ws=Socket,
        ws_max_size=limits.message_bytes_max,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # only beats decide who is alive
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ssl_context_factory=None if certificates is None else _context_of(certificates),
    )


def _context_of(certificates: Certificates) -> Callable[[uvicorn.Config, Callable[[], SSLContext]], SSLContext]:
    return lambda _config, _default: certificates.listening()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise CannotListen(_reason(host, port, error)) from error
    sock.setblocking(False)
    return sock


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use, perhaps by another engine: stop it, or choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} needs more rights than this user has: choose one above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}."
