"""What people ask about the queue: short reads of indexes, each of a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...rules.flow.facts import AHEAD_MAX, COUNTED_MAX, STATES, WAITS_MAX, Awaited, Backlog, Holders, Line, Queued
from .. import queued
from ..tables import QueueState
from .queue_rows import queue_row
from .rows import Db
from .statements import statements
from .wait_rows import open_wait

_SQL = statements("queued")
_QUEUE = statements("queue")
_WAITING = (QueueState.LINE, QueueState.HELD, QueueState.GATHERED)


def read_queued(db: Db, run: str, ahead_max: int) -> Queued | None:
    """Return where in the queue a run is."""
    found = db.execute(_SQL["row"], (run,)).fetchone()
    if found is None:
        return None
    row = queue_row(found)
    if not queued.has_order(row):
        return queued.queued(row, 0)
    values = {"function": row.function, "flow_key": row.flow_key, "rank": row.rank, "ord": row.ord, "most": ahead_max}
    ahead = db.execute(_SQL[f"ahead_{STATES[row.state]}"], values).fetchone()[0]
    return queued.queued(row, int(ahead))


def read_holders(db: Db, flow_key: str, limit: int) -> Holders:
    """Return who has the places of a key."""
    places, taken = db.execute(_SQL["places"], (flow_key,)).fetchone()
    runs = db.execute(_SQL["holders"], (flow_key, limit)).fetchall()
    return Holders(int(taken), int(places - taken), tuple(run for (run,) in runs))


def read_awaited(db: Db, run: str) -> list[Awaited]:
    """Return what a run waits for."""
    return list(queued.awaited(open_wait(row) for row in db.execute(_SQL["waits"], (run, WAITS_MAX)).fetchall()))


def read_backlog(db: Db, functions: Sequence[str]) -> dict[str, list[Backlog]]:
    """Return how many runs of these functions are in the queue."""
    later = {function: (count, ord) for function, count, ord in db.execute(_SQL["count_later"], (COUNTED_MAX,))}
    return {function: found for function in functions if (found := list(_backlog(db, function, later.get(function))))}


def read_lines(db: Db, function: str, after: str, limit: int) -> list[Line]:
    """Return the lines in which runs of a function stand."""
    keys = db.execute(_QUEUE["line_keys"], {"function": function, "after": after, "limit": limit}).fetchall()
    return [Line(key, _one(db, "in_line", key, function, AHEAD_MAX)) for (key,) in keys]


def read_shares(db: Db, function: str, after: str, limit: int) -> list[Line]:
    """Return the keys by which runs of a function take turns."""
    keys = db.execute(_SQL["fair_keys"], {"function": function, "after": after, "limit": limit}).fetchall()
    return [Line(key, _one(db, "in_turn", function, key, AHEAD_MAX)) for (key,) in keys]


def _backlog(db: Db, function: str, later: tuple[int, int] | None) -> Iterator[Backlog]:
    count, ord = db.execute(_SQL["count_ready"], (function, COUNTED_MAX)).fetchone()
    if count:
        yield Backlog(STATES[QueueState.OPEN], count, _one(db, "ready_since", ord))
    if later:
        yield Backlog(STATES[QueueState.LATER], later[0], _one(db, "made_at", later[1]))
    for state in _WAITING:
        count, ord = db.execute(_SQL["count_waiting"], (state.value, function, COUNTED_MAX)).fetchone()
        if count:
            yield Backlog(STATES[state], count, _one(db, "made_at", ord))


def _one(db: Db, statement: str, *values: object) -> int:
    row = db.execute(_SQL[statement], values).fetchone()
    return int(row[0]) if row else 0
