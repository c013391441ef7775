"""What people ask about the queue: short reads of indexes, each of a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence

from ...rules.flow.facts import AHEAD_MAX, COUNTED_MAX, STATES, WAITS_MAX, Awaited, Backlog, Holders, Line, Queued
from .. import queued
from ..tables import QueueRow, QueueState
from . import values
from .lists import Fetch
from .statements import statements

_SQL = statements("queued")


async def read_queued(fetch: Fetch, run: str, ahead_max: int) -> Queued | None:
    """Return where in the queue a run is."""
    found = await fetch(_SQL["row"], run)
    if not found:
        return None
    ord, function, rank, state, due_at_ms, flow_key = found[0]
    row = QueueRow(ord, function, rank, QueueState(state), due_at_ms, flow_key)
    if not queued.has_order(row):
        return queued.queued(row, 0)
    ahead = await fetch(_SQL[f"ahead_{STATES[row.state]}"], function, flow_key, rank, ord, ahead_max)
    return queued.queued(row, ahead[0][0])


async def read_holders(fetch: Fetch, flow_key: str, limit: int) -> Holders:
    """Return who has the places of a key."""
    places = await fetch(_SQL["places"], flow_key)
    runs = await fetch(_SQL["holders"], flow_key, limit)
    taken, offered = places[0] if places else (0, 0)
    return Holders(taken, offered, tuple(run for (run,) in runs))


async def read_awaited(fetch: Fetch, run: str) -> list[Awaited]:
    """Return what a run waits for."""
    return list(queued.awaited(values.open_wait(row) for row in await fetch(_SQL["waits"], run, WAITS_MAX)))


async def read_backlog(fetch: Fetch, functions: Sequence[str]) -> dict[str, list[Backlog]]:
    """Return how many runs of these functions are in the queue."""
    found: dict[str, list[Backlog]] = {}
    for row in await fetch(_SQL["backlog"], list(functions), COUNTED_MAX):
        function, state, count, since_ms = row
        found.setdefault(function, []).append(Backlog(STATES[int(state)], count, since_ms))
    return found


async def read_lines(fetch: Fetch, function: str, after: str, limit: int) -> list[Line]:
    """Return the lines in which runs of a function stand."""
    return [Line(key, count) for key, count in await fetch(_SQL["lines"], function, after, limit, AHEAD_MAX)]


async def read_shares(fetch: Fetch, function: str, after: str, limit: int) -> list[Line]:
    """Return the keys by which runs of a function take turns."""
    return [Line(key, count) for key, count in await fetch(_SQL["shares"], function, after, limit, AHEAD_MAX)]
