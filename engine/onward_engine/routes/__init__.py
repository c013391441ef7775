"""The JSON API under `/v1`, and events at `/e`: every route is one value in one of these modules.

Handlers read, ask and answer; what they answer with is made in `views`. Every error is a `Problem`.
"""

from __future__ import annotations

from functools import cache

from starlette.responses import Response

from . import bulk, callbacks, control, delayed, events, functions, health, queues, runs, schedules, signals, workers
from .application import application
from .events import take
from .openapi import encoded
from .parts import Parts
from .route import JSON, Asked, Nothing, Route

__all__ = ["ROUTES", "Parts", "Route", "application", "take"]


async def show_document(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Show the OpenAPI document."""
    del parts, asked
    return Response(_document(), media_type=JSON)


@cache
def _document() -> bytes:
    return encoded(ROUTES)


ROUTES: tuple[Route, ...] = (
    *events.ROUTES,
    *delayed.ROUTES,
    *schedules.ROUTES,
    *runs.ROUTES,
    *control.ROUTES,
    *bulk.ROUTES,
    *signals.ROUTES,
    *callbacks.ROUTES,
    *functions.ROUTES,
    *queues.ROUTES,
    *workers.ROUTES,
    *health.ROUTES,
    Route("GET", "/v1/openapi.json", show_document, "Describe this API as an OpenAPI document.", answer=dict),
)
