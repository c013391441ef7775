"""One route of the API as a value. The application and the OpenAPI document are made from the same ones.

    async def show_run(parts: Parts, asked: Asked[Waiting, Nothing]) -> RunView: ...

    Route("GET", "/v1/runs/{id}", show_run, "Show a run.", refusals=(UNKNOWN_RUN,))

The types of the query, of the body and of the answer are read from the handler's annotations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from msgspec import Struct

from .parts import Parts
from .refusals import Refusal

JSON = "application/json"
MSGPACK = "application/msgpack"
TEXT = "text/plain"

Q = TypeVar("Q")
B = TypeVar("B")


class Nothing(Struct, frozen=True):
    """No query, or no body."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """What somebody wants: the query and the body as values, the parts of the path that vary, and the media types that
    they take.
    """

    query: Q
    body: B
    path: dict[str, str]
    accept: str

    @property
    def id(self) -> str:
        """Return what stands for `{id}` in the path."""
        return self.path["id"]


Handler = Callable[[Parts, Asked[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    The handler returns a `Struct`, which is sent as JSON with `status`, or a `Response` of its own; then `answer` and
    `media` say what is in it. It raises `Problem`, with one of `refusals`. A body whose type is `bytes` is handed over
    unread; then `body` says what is in it. `is_open`: nobody is asked for a token.
    `body_bytes_max`: less than other requests may have.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    _: KW_ONLY
    status: int = 200
    refusals: tuple[Refusal, ...] = ()
    answer: Any = None
    body: Any = None
    media: tuple[str, ...] = (JSON,)
    is_open: bool = False
    body_bytes_max: int | None = None

    @property
    def types(self) -> tuple[type[Struct], Any, Any]:
        """Return the types of the query, of the body and of the answer, as the handler has them."""
        return _types_of(self.handler)


@cache
def _types_of(handler: Handler) -> tuple[type[Struct], Any, Any]:
    """Resolved once for a process: somebody's tests may start an engine for each of them."""
    hints = get_type_hints(handler)
    query, body = get_args(hints["asked"])
    return query, body, hints["return"]
