"""Whether the engine lives and works, for whoever watches it."""

from __future__ import annotations

from starlette.responses import Response

from .parts import Parts
from .route import TEXT, Asked, Nothing, Route


async def show_health(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Say that the process answers."""
    del parts, asked
    return Response("ok\n", media_type=TEXT)


async def show_readiness(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Say whether work is taken."""
    del asked
    if parts.is_ready():
        return Response("ready\n", media_type=TEXT)
    return Response("not ready\n", 503, media_type=TEXT)


async def show_metrics(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Show the metrics, for Prometheus."""
    del asked
    return parts.metrics()


ROUTES = (
    Route("GET", "/healthz", show_health, "Say that the engine lives.", answer=str, media=(TEXT,), is_open=True),
    Route("GET", "/readyz", show_readiness, "Say whether it takes work.", answer=str, media=(TEXT,), is_open=True),
    Route("GET", "/metrics", show_metrics, "Show the metrics, for Prometheus.", answer=str, media=(TEXT,)),
)
