"""Which runs somebody means: the same words wherever runs are listed or changed many at a time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..listing import Found, Selection
from ..model import Status
from ..rules.expressions import ExpressionError
from ..store.port import RunFilter
from .fields import Moment
from .parts import Parts
from .refusals import BAD_EXPRESSION, BAD_REQUEST


class RunSelection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs: everything that is said has to be true of a run."""

    status: Annotated[list[Status], Meta(description="In one of these.")] = []
    function: Annotated[str, Meta(description="Of the function with this id.")] = ""
    event: Annotated[
        str, Meta(description="Started by the event with this id, of this name, or of names like a/*.")
    ] = ""
    key: Annotated[str, Meta(description="With this key of their event, or of their concurrency limit.")] = ""
    tag: Annotated[list[str], Meta(description="With all of these tags, each as key=value.")] = []
    id: Annotated[str, Meta(description="Whose id begins so.")] = ""
    created_from_ms: Annotated[Moment | None, Meta(description="Made then or later.")] = None
    created_until_ms: Annotated[Moment | None, Meta(description="Made before.")] = None
    ended_from_ms: Annotated[Moment | None, Meta(description="Over since then or later.")] = None
    ended_until_ms: Annotated[Moment | None, Meta(description="Over before.")] = None
    where: Annotated[str, Meta(description="For which this expression over `run` and `event` is true.")] = ""


def selection_of(wanted: RunSelection, *, limit: int, before: int | None = None) -> Selection:
    """Return what the listing looks for. Raises `Problem`."""
    found = RunFilter(
        function=wanted.function,
        status=tuple(wanted.status),
        prefix=wanted.id,
        tags=tuple(_tag(text) for text in wanted.tag),
        created_from_ms=wanted.created_from_ms,
        created_until_ms=wanted.created_until_ms,
        ended_from_ms=wanted.ended_from_ms,
        ended_until_ms=wanted.ended_until_ms,
        limit=limit,
        before=before,
    )
    return Selection(found, wanted.event, wanted.key, wanted.where)


async def find(parts: Parts, wanted: Selection) -> Found:
    """Return a page of runs. Raises `Problem`."""
    try:
        return await parts.listing.find(wanted)
    except ExpressionError as error:
        raise BAD_EXPRESSION.problem(f"where: {error}.") from None


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise BAD_REQUEST.problem(f"A tag is written key=value, not {text!r}.")
    return key, value
