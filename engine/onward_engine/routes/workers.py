"""Workers that are connected."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from .parts import Parts
from .route import Asked, Nothing, Route


class WorkerLine(Struct, frozen=True, kw_only=True):
    """One worker that is connected to this engine."""

    instance: str
    generation: int
    apps: list[str]
    sdk: str
    python: str
    labels: dict[str, str]
    slots: int
    free: int
    held: int
    draining: bool
    lag_ms: int
    memory_bytes: int
    connected_at_ms: int


class WorkerList(Struct, frozen=True):
    """The workers that are connected to the engine that was asked."""

    workers: list[WorkerLine]


async def list_workers(parts: Parts, asked: Asked[Nothing, Nothing]) -> WorkerList:
    """List the workers of this engine."""
    del asked
    return WorkerList([msgspec.convert(one.view(), WorkerLine) for one in parts.connections])


ROUTES = (Route("GET", "/v1/workers", list_workers, "List the workers that are connected to this engine."),)
