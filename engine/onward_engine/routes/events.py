"""Events: they come in at `/e`, and are listed and shown under `/v1/events`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ..commit import Refused
from ..incoming import Incoming, parse
from ..listing import Selection
from ..rules.events import BadEvent
from ..store.port import Accepted, EventFilter, RunFilter
from ..views import EventLine, EventView, event_line, event_view
from .application import viewed
from .fields import LIST_MAX, Count, Cursor, Moment, cursor_of, lines
from .parts import Parts
from .refusals import CONFLICT, TOO_LARGE, UNKNOWN_EVENT, problem_of
from .route import JSON, Asked, Nothing, Route


class SentEvent(Struct, frozen=True, omit_defaults=True):
    """An event that is stored, and the runs that it started or joined. One that is not due yet starts them at
    `due_at_ms`.
    """

    id: str
    runs: tuple[str, ...]
    due_at_ms: int = 0


class EventQuery(Struct, frozen=True):
    """Which events, and which part of them."""

    name: Annotated[str, Meta(description="Of this name, or of names like a/*.")] = ""
    key: Annotated[str, Meta(description="With this key.")] = ""
    received_from_ms: Annotated[Moment | None, Meta(description="Received then or later.")] = None
    received_until_ms: Annotated[Moment | None, Meta(description="Received before.")] = None
    cursor: Cursor = 0
    limit: Count = 50


class EventList(Struct, frozen=True):
    """Events, newest first. The cursor asks for the next page; null: these were the last. A page may have fewer events
    than were asked for, and none: so many were looked at.
    """

    events: list[EventLine]
    cursor: str | None


class SentEvents(Struct, frozen=True):
    """The answer for each event, in the order of the request."""

    events: list[SentEvent]


async def take(parts: Parts, body: bytes) -> Response:
    """Take the body of POST /e and answer it."""
    try:
        accepted = await parts.ingest.accept(parse(body, parts.settings.bounds.events_per_request_max))
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error
    _refuse_conflicts(accepted)
    answer = SentEvents([SentEvent(one.id, one.runs, one.due_at_ms) for one in accepted])
    return Response(msgspec.json.encode(answer), 202, media_type=JSON)


async def send_events(parts: Parts, asked: Asked[Nothing, bytes]) -> Response:
    """POST /e, if the door has not taken it before."""
    return await take(parts, asked.body)


async def list_events(parts: Parts, asked: Asked[EventQuery, Nothing]) -> EventList:
    """List events."""
    query = asked.query
    wanted = EventFilter(
        name="" if query.name.endswith("*") else query.name,
        prefix=query.name[:-1] if query.name.endswith("*") else "",
        key=query.key,
        received_from_ms=query.received_from_ms,
        received_until_ms=query.received_until_ms,
        limit=lines(query.limit),
        before=query.cursor or None,
    )
    page = await parts.store.events(wanted)
    return EventList([event_line(kept) for kept in page.events], cursor_of(page.next))


async def show_event(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Show one event with its data, and the newest runs that it started or joined."""
    event = await parts.store.event(asked.id)
    if event is None:
        raise UNKNOWN_EVENT.problem(f"There is no event {asked.id}.")
    found = await parts.listing.find(Selection(RunFilter(limit=LIST_MAX), event=event.id))
    bytes_max = parts.settings.bounds.view_bytes_max
    return await viewed(len(event.data), lambda: event_view(event, found.runs, bytes_max))


def _refuse_conflicts(accepted: tuple[Accepted, ...]) -> None:
    for one in accepted:
        if one.conflict:
            raise CONFLICT.problem(f"The event id {one.id} was used before for a different event.")


ROUTES = (
    Route(
        "POST",
        "/e",
        send_events,
        "Send one event, or a list: all are accepted, or none.",
        status=202,
        body=Incoming | list[Incoming],
        answer=SentEvents,
        refusals=(CONFLICT, TOO_LARGE),
    ),
    Route("GET", "/v1/events", list_events, "List events, newest first."),
    Route(
        "GET",
        "/v1/events/{id:path}",
        show_event,
        "Show an event and the runs that it started or joined.",
        answer=EventView,
        refusals=(UNKNOWN_EVENT,),
    ),
)
