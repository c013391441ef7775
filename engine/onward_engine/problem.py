"""Errors of the HTTP API: `application/problem+json`, one sentence each."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.responses import Response

PROBLEM = "application/problem+json"

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    429: "Too many requests",
    503: "Try again",
}


class Problem(Exception):
    """Ends a request with this status. `code` is stable; `detail` is a sentence for a person."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Return what the client gets."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return Response(self.body(), self.status, headers, PROBLEM)

    def body(self) -> bytes:
        """Return the JSON document."""
        title = _TITLES.get(self.status, "Error")
        return msgspec.json.encode(_Body(title=title, detail=self.detail, code=self.code, status=self.status))


class _Body(Struct, frozen=True):
    title: str
    detail: str
    code: str
    status: int
