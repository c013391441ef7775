"""The first thing that every request meets: who it is, and where it goes. Nothing behind it asks again."""

from __future__ import annotations

import structlog
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .auth import Access, Denial
from .body import Gone, read_body
from .gateway import Gateway
from .problem import Problem
from .routes import ROUTES, Parts, application, take
from .routes import testing as testing_routes

CONNECT = "/connect"
EVENTS = "/e"

_NO_UPGRADE = Problem(
    426,
    "upgrade_required",
    "Workers connect here by WebSocket, but the request came without its Upgrade header: something took it out.",
    headers={"upgrade": "websocket"},
)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.door")


class Door:
    """The ASGI application of an engine."""

    def __init__(self, access: Access, parts: Parts, gateway: Gateway) -> None:
        self._access = access
        self._parts = parts
        self._gateway = gateway
        routes = ROUTES if parts.advance is None else (*ROUTES, *testing_routes.ROUTES)
        self._application = application(routes, parts)

    @property
    def routes(self) -> list[BaseRoute]:
        """Return everything that can be asked for over HTTP."""
        return list(self._application.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one socket."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == CONNECT:  # whoever asks, and before the token: something on the way has to be mended first
            await _NO_UPGRADE.response()(scope, receive, send)
            return
        denial = self._access.denial(scope["path"], scope["headers"], is_socket=False)
        if denial is not None:
            await _problem(denial).response()(scope, receive, send)
        elif scope["path"] == EVENTS and scope["method"] == "POST":
            await self._events(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Past the router: half of the time of a small request would go into it.
        try:
            body = await read_body(receive, self._parts.settings.bounds.request_bytes_max)
            response = await take(self._parts, body)
        except Problem as problem:
            response = problem.response()
        except Gone:
            return
        await response(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        denial = self._access.denial(scope["path"], scope["headers"], is_socket=True)
        if denial is None and scope["path"] != CONNECT:
            denial = Denial(404, "not_found", f"Workers connect to {CONNECT}.")
        if denial is not None:
            _log.warning("worker denied", peer=_address(scope), code=denial.code, reason=denial.message)
            await WebSocket(scope, receive, send).send_denial_response(_problem(denial).response())
            return
        await self._gateway.serve(scope, receive, send)


def _address(scope: Scope) -> str:
    return ":".join(map(str, scope.get("client") or ()))


def _problem(denial: Denial) -> Problem:
    return Problem(denial.status, denial.code, denial.message)
