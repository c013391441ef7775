"""Fields of queries that mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

LIST_MAX = 200
"""A page has so many lines at most."""

Cursor = Annotated[int, Meta(ge=0, le=1 << 62, description="What the page before this one gave.")]
Count = Annotated[int, Meta(ge=0, description="How many; what is too many is taken as the most.")]
Wait = Annotated[int, Meta(ge=0, description="How long to wait, in milliseconds.")]
Moment = Annotated[int, Meta(ge=0, le=1 << 53, description="Milliseconds since 1970.")]


def lines(count: int, most: int = LIST_MAX) -> int:
    """Return how many lines a page gets."""
    return max(1, min(count, most))


def cursor_of(end: int | None) -> str | None:
    """Return what asks for the next page."""
    return None if end is None else str(end)
