"""The JSON API under `/v1`, and events at `/e`.

Handlers read, ask and answer; what they answer with is made in `views`. Every error is a `Problem`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import views
from .body import read_body
from .catalogue import Catalogue
from .commit import BUSY, STOPPING, STORE_FULL, Refused
from .connections import Connections
from .endings import Endings
from .incoming import parse
from .ingest import UNKNOWN_FUNCTION, Ingest
from .model import Run, Status
from .problem import Problem
from .rules.events import BadEvent, json_problem
from .settings import Settings
from .store.port import STEPS_PAGE, Accepted, RunFilter, Store

JSON = "application/json"
MSGPACK = "application/msgpack"
LIST_MAX = 200
_CURSOR_MAX = 1 << 62
_LINE_BYTES = 100  # of a line of a history, beside what a step returned

B = TypeVar("B")

Handler = Callable[[Request], Awaitable[Response]]

_STATUS_OF = {STORE_FULL: 503, BUSY: 503, STOPPING: 503, UNKNOWN_FUNCTION: 404, "queue_full": 429, "conflict": 409}


class StartRequest(Struct, frozen=True):
    """The body of POST /v1/runs. `input` is JSON, `input_msgpack` the same as base64 of MessagePack; `id` makes a
    repeat harmless.
    """

    function: str
    input: Any = None
    input_msgpack: str = ""
    id: str = ""


class CancelRequest(Struct, frozen=True):
    """The body of POST /v1/runs/{id}/cancel; it may be empty."""

    reason: str = ""
    cleanup_ms: int = 30_000


class Api:
    """The handlers. `is_ready` says whether the engine can take work now, `metrics` makes the page of its metrics."""

    def __init__(
        self,
        *,
        ingest: Ingest,
        endings: Endings,
        catalogue: Catalogue,
        connections: Connections,
        store: Store,
        settings: Settings,
        is_ready: Callable[[], bool],
        metrics: Callable[[], Response],
    ) -> None:
        self._ingest = ingest
        self._endings = endings
        self._catalogue = catalogue
        self._connections = connections
        self._store = store
        self._bounds = settings.bounds
        self._depth_max = settings.limits.depth_max
        self._is_ready = is_ready
        self._metrics = metrics

    def application(self) -> Starlette:
        """Return all routes as one ASGI application. It asks nobody who they are: that is the door's work, in front of
        it.
        """
        handlers: list[tuple[str, str, Handler]] = [
            ("GET", "/healthz", self._health),
            ("GET", "/readyz", self._ready),
            ("GET", "/metrics", self._measured),
            ("POST", "/e", self.events),
            ("POST", "/v1/runs", self._start),
            ("GET", "/v1/runs", self._runs),
            ("GET", "/v1/runs/{id}", self._run),
            ("GET", "/v1/runs/{id}/output", self._output),
            ("GET", "/v1/runs/{id}/steps", self._steps),
            ("POST", "/v1/runs/{id}/cancel", self._cancel),
            ("GET", "/v1/functions", self._functions),
            ("GET", "/v1/workers", self._workers),
        ]
        routes = [Route(path, _answering(handler), methods=[method]) for method, path, handler in handlers]
        return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})

    # -- what comes in -------------------------------------------------------------------------------------------------

    async def accept(self, body: bytes) -> bytes:
        """Take the body of POST /e and return the answer's. Raises `Problem`."""
        try:
            events = parse(body, self._bounds.events_per_request_max)
            accepted = await self._ingest.accept(events)
        except (BadEvent, Refused) as error:
            raise problem_of(error) from error
        _refuse_conflicts(accepted)
        return msgspec.json.encode({"events": [{"id": one.id, "runs": one.runs} for one in accepted]})

    async def events(self, request: Request) -> Response:
        """POST /e."""
        body = await read_body(request.receive, self._bounds.request_bytes_max)
        return Response(await self.accept(body), 202, media_type=JSON)

    async def _start(self, request: Request) -> Response:
        wanted = await self._read(request, StartRequest)
        try:
            run = await self._ingest.start(wanted.function, _input_of(wanted), wanted.id)
        except (BadEvent, Refused) as error:
            raise problem_of(error) from error
        return _json({"run": run}, 202)

    async def _cancel(self, request: Request) -> Response:
        wanted = await self._read(request, CancelRequest, empty=CancelRequest())
        run: str = request.path_params["id"]
        try:
            status = await self._ingest.cancel(run, wanted.reason, max(0, wanted.cleanup_ms))
        except Refused as error:
            raise problem_of(error) from error
        if status == "unknown":
            raise _no_run(run)
        if status == "terminal":
            raise Problem(409, "run_over", f"Run {run} is over already.")
        return _json({"status": status}, 202)

    # -- what is asked -------------------------------------------------------------------------------------------------

    async def _runs(self, request: Request) -> Response:
        wanted = _filter_of(request)
        runs = await self._store.runs(wanted)
        cursor = str(runs[-1].ord) if len(runs) == wanted.limit else None
        return _json({"runs": [views.run_line(run) for run in runs], "cursor": cursor})

    async def _run(self, request: Request) -> Response:
        run = await self._found(request)
        return await self._viewed(
            len(run.input) + len(run.output), lambda: views.run_view(run, self._bounds.view_bytes_max)
        )

    async def _output(self, request: Request) -> Response:
        run = await self._found(request)
        if run.status is not Status.COMPLETED:
            raise Problem(409, "no_output", f"Run {run.id} has no output: it is {run.status.value}.")
        if MSGPACK in request.headers.get("accept", ""):
            return Response(run.output, media_type=MSGPACK)
        return await self._viewed(len(run.output), lambda: views.payload_view(run.output, self._bounds.view_bytes_max))

    async def _steps(self, request: Request) -> Response:
        after = _number(request, "cursor", 0, _CURSOR_MAX)
        limit = max(1, _number(request, "limit", STEPS_PAGE, STEPS_PAGE))
        page = await self._store.steps(request.path_params["id"], after, limit)
        if not page.steps:
            await self._found(request)
        size = sum(len(step.output or b"") + _LINE_BYTES for step in page.steps)
        return await self._viewed(size, lambda: views.steps_view(page, self._bounds.view_bytes_max))

    async def _functions(self, _: Request) -> Response:
        return _json({"functions": [line for app in self._catalogue.apps for line in views.app_view(app)]})

    async def _workers(self, _: Request) -> Response:
        return _json({"workers": [connection.view() for connection in self._connections]})

    async def _health(self, _: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def _ready(self, _: Request) -> Response:
        if self._is_ready():
            return Response("ready\n", media_type="text/plain")
        return Response("not ready\n", 503, media_type="text/plain")

    async def _measured(self, _: Request) -> Response:
        return self._metrics()

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _found(self, request: Request) -> Run:
        wait_ms = _number(request, "wait_ms", 0, self._bounds.wait_ms_max)
        run: str = request.path_params["id"]
        found = await self._endings.wait(run, wait_ms)
        if found is None:
            raise _no_run(run)
        return found

    async def _read(self, request: Request, kind: type[B], empty: B | None = None) -> B:
        body = await read_body(request.receive, self._bounds.request_bytes_max)
        if not body and empty is not None:
            return empty
        return _decoded(body, kind, self._depth_max)

    async def _viewed(self, size: int, make: Callable[[], Any]) -> Response:
        # A small view takes less time than the way to a thread and back.
        if size <= 4096:
            body = views.to_json(make)
        else:
            body = await asyncio.to_thread(views.to_json, make)
        return Response(body, media_type=JSON)


def _decoded(body: bytes, kind: type[B], depth_max: int) -> B:
    if problem := json_problem(body, depth_max):
        raise Problem(400, "bad_request", f"The body {problem}.")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise Problem(400, "bad_request", f"The body is not what was expected: {error}.") from None


def problem_of(error: BadEvent | Refused) -> Problem:
    """Return what a client is told of work that was not stored."""
    if isinstance(error, BadEvent):
        return Problem(
            413 if error.too_large else 400, "too_large" if error.too_large else "bad_request", error.message
        )
    status = _STATUS_OF.get(error.code, 400)
    return Problem(status, error.code, error.message, retry_after_s=1 if status in (429, 503) else None)


def _refuse_conflicts(accepted: tuple[Accepted, ...]) -> None:
    for one in accepted:
        if one.conflict:
            raise Problem(409, "conflict", f"The event id {one.id} was used before for a different event.")


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()

    return answer


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, "http", error.detail + ".").response()


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type=JSON)


def _no_run(run: str) -> Problem:
    return Problem(404, "unknown_run", f"There is no run {run}.")


def _input_of(wanted: StartRequest) -> bytes:
    if not wanted.input_msgpack:
        return msgspec.msgpack.encode(wanted.input)
    try:
        return base64.b64decode(wanted.input_msgpack, validate=True)
    except binascii.Error:
        raise BadEvent("input_msgpack is not base64.") from None


def _filter_of(request: Request) -> RunFilter:
    query = request.query_params
    try:
        status = Status(query["status"]) if "status" in query else None
    except ValueError:
        known = ", ".join(status.value for status in Status)
        raise Problem(400, "bad_request", f"There is no status {query['status']!r}; there are {known}.") from None
    before = _number(request, "cursor", 0, _CURSOR_MAX) or None
    limit = max(1, _number(request, "limit", 50, LIST_MAX))
    return RunFilter(function=query.get("function", ""), status=status, limit=limit, before=before)


def _number(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise Problem(400, "bad_request", f"{name} has to be a whole number.")
    return min(int(text), largest)
