"""Errors of the HTTP API: `application/problem+json` (RFC 9457), one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from starlette.responses import Response

PROBLEM = "application/problem+json"

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not valid",
    426: "Upgrade required",
    429: "Too many requests",
    500: "Internal error",
    503: "Try again",
}


class ProblemView(Struct, frozen=True):
    """Why a request was refused. `code` is stable and meant for programs, `detail` is a sentence for a person."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(Exception):
    """Ends a request with this status. `code` is stable; `detail` is a sentence for a person."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.headers = headers or {}

    def response(self) -> Response:
        """Return what the client gets."""
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        return Response(self.body(), self.status, headers, PROBLEM)

    def body(self) -> bytes:
        """Return the JSON document."""
        title = TITLES.get(self.status, "Error")
        return msgspec.json.encode(
            ProblemView(f"urn:onward:problem:{self.code}", title, self.status, self.detail, self.code)
        )
