"""Events that are not due yet."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..commit import Refused
from ..model import Item
from ..store import delayed
from .fields import Count, lines
from .parts import Parts
from .refusals import Refusal, problem_of
from .route import Asked, Nothing, Route

UNKNOWN = Refusal(404, "unknown_delayed_event", "No event with this id waits to come in.")


class DelayedQuery(Struct, frozen=True):
    """Which part of them."""

    cursor: Annotated[str, Meta(description="What the page before this one gave.")] = ""
    limit: Count = 50


class DelayedEvent(Struct, frozen=True):
    """An event that comes in at `due_at_ms`."""

    id: str
    name: str
    due_at_ms: int
    key: str


class DelayedEvents(Struct, frozen=True):
    """Delayed events, by id. The cursor asks for the next page; null: these were the last."""

    events: list[DelayedEvent]
    cursor: str | None


class TakenBack(Struct, frozen=True):
    """The event never comes in."""

    id: str


async def list_delayed(parts: Parts, asked: Asked[DelayedQuery, Nothing]) -> DelayedEvents:
    """List delayed events."""
    limit = lines(asked.query.limit)
    items = await parts.store.items(delayed.KIND, delayed.OWNER, asked.query.cursor, limit)
    return DelayedEvents([_line(item) for item in items], items[-1].name if len(items) == limit else None)


async def drop_delayed(parts: Parts, asked: Asked[Nothing, Nothing]) -> TakenBack:
    """Take a delayed event back."""
    try:
        if not await parts.ingest.drop_event(asked.id):
            raise UNKNOWN.problem(f"No event {asked.id!r} waits: it has come in already, or was never sent.")
    except Refused as error:
        raise problem_of(error) from error
    return TakenBack(asked.id)


def _line(item: Item) -> DelayedEvent:
    event = delayed.event_of(item)
    return DelayedEvent(event.id, event.name, item.due_at_ms or 0, event.key)


ROUTES = (
    Route("GET", "/v1/delayed-events", list_delayed, "List the events that are not due yet."),
    Route(
        "DELETE",
        "/v1/delayed-events/{id:path}",
        drop_delayed,
        "Take back an event that is not due yet; its id may be used again.",
        refusals=(UNKNOWN,),
    ),
)
