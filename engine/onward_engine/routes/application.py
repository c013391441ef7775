"""The routes as one ASGI application. It asks nobody who they are: that is the door's work, in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from ..body import Gone, read_body
from ..problem import Problem
from .parts import Parts
from .reading import QueryReader, read_json
from .refusals import INTERNAL
from .route import JSON, Asked, Nothing, Route

_CODES = {404: "not_found", 405: "method_not_allowed"}

_INLINE_BYTES = 4096
"""A view of this size takes less time than the way to a thread and back."""


def application(routes: Iterable[Route], parts: Parts) -> Starlette:
    """Return the application that serves these routes."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, {})[route.method] = route
    # What takes the rest of the path comes last.
    paths = sorted(by_path, key=lambda path: path.endswith(":path}"))
    return Starlette(
        routes=[Path(path, _endpoint(by_path[path], parts), methods=list(by_path[path])) for path in paths],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )


async def viewed(size: int, make: Callable[[], Any]) -> Response:
    """Make a view of about `size` bytes and encode it, off the event loop if it is large."""
    body = _encoded(make) if size <= _INLINE_BYTES else await asyncio.to_thread(_encoded, make)
    return Response(body, media_type=JSON)


def _encoded(make: Callable[[], Any]) -> bytes:
    return msgspec.json.encode(make())


def _endpoint(routes: Mapping[str, Route], parts: Parts) -> Callable[[Request], Awaitable[Response]]:
    shells = {method: _Shell(route, parts) for method, route in routes.items()}

    async def answer(request: Request) -> Response:
        shell = shells["GET" if request.method == "HEAD" else request.method]
        try:
            return await shell.answer(request)
        except Problem as problem:
            return problem.response()
        except Gone:
            return Response(status_code=400)  # nobody is there to read it

    return answer


class _Shell:
    """Reads what one route needs, asks its handler and writes the answer."""

    def __init__(self, route: Route, parts: Parts) -> None:
        self._route = route
        self._parts = parts
        query, self._body, _ = route.types
        self._query = QueryReader(query)

    async def answer(self, request: Request) -> Response:
        query = self._query.read(request.query_params.multi_items())
        accept = request.headers.get("accept", "")
        asked = Asked(query, await self._read(request), request.path_params, accept)
        answer = await self._route.handler(self._parts, asked)
        if isinstance(answer, Response):
            return answer
        return Response(msgspec.json.encode(answer), self._route.status, media_type=JSON)

    async def _read(self, request: Request) -> Any:
        if self._body is Nothing:
            return Nothing()
        settings = self._parts.settings
        bytes_max = self._route.body_bytes_max or settings.bounds.request_bytes_max
        if self._body is bytes:
            return await read_body(request.receive, bytes_max)
        return await read_json(request, self._body, bytes_max, settings.limits.depth_max)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not possible here."}
    code = _CODES.get(error.status_code, "http")
    sentence = detail.get(error.status_code, f"{error.detail}.")
    return Problem(error.status_code, code, sentence, headers=error.headers).response()


async def _internal_error(_: Request, error: Exception) -> Response:
    return INTERNAL.problem(f"The engine made a mistake ({type(error).__name__}); its log has more.").response()
