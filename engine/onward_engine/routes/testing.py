"""What only a test engine answers to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..commit import Refused
from .parts import Parts
from .refusals import Refusal, problem_of
from .route import Asked, Nothing, Route

DAYS_MAX = 366
SHARED = Refusal(409, "shared", "Other engines are on the same database, and each has its own clock.")
_MS_MAX = DAYS_MAX * 24 * 60 * 60 * 1000


class Advance(Struct, frozen=True, forbid_unknown_fields=True):
    """How far the clock moves, at most 366 days."""

    advance_ms: Annotated[int, Meta(ge=0, le=_MS_MAX)]


class Now(Struct, frozen=True):
    """The engine's time of day."""

    now_ms: int


async def advance(parts: Parts, asked: Asked[Nothing, Advance]) -> Now:
    """Move the clock."""
    assert parts.advance is not None, "only a test engine has this route"
    if parts.has_company():
        raise SHARED.problem("Other engines work on this database: only the clock of a single one can be moved.")
    try:
        return Now(await parts.advance(asked.body.advance_ms))
    except Refused as error:
        raise problem_of(error) from error


ROUTES = (
    Route(
        "POST",
        "/v1/test/clock",
        advance,
        "Move the clock of a test engine; answers when all that became due has been fired.",
        refusals=(SHARED,),
    ),
)
