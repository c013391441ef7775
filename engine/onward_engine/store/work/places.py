"""Places under limits: what a run holds of each of its flow keys.

A run that can be claimed is only offered its places; whoever assigns it takes them, and finds out for whom there is
none left. So runs of a function that has no free worker are in nobody's way, who comes later and goes first is offered
a place beside those that wait for a slot, and a limit that is lowered counts for all that nobody has begun.
"""

from __future__ import annotations

from ...model import Flow, Run
from ...rules.flow.limits import limit_now
from ...rules.flow.ranks import NEW
from . import throttles
from .context import Work


def reserve(work: Work, run: Run, rank: int) -> Flow | None:
    """Give or offer a run a place under each of its limits; if one has no room, nothing, and return that one."""
    flows = [flow for flow in run.flow if not _is_past(run, flow)]
    for flow in flows:
        if not _has_room(work, run, flow, rank):
            return flow
    for flow in flows:
        if work.tables.place(flow.key, run.ord) is None:
            work.tables.put_place(flow.key, run.ord, run.function, is_taken=False, rank=rank)
    return None


def take(work: Work, run: Run, rank: int) -> Flow | None:
    """Give a run that is to be assigned all its places; if one has no room, nothing, and return that one."""
    flows = [flow for flow in run.flow if not _is_past(run, flow)]
    for flow in flows:
        if not _may_take(work, run, flow, rank):
            return flow
    for flow in flows:
        if flow.is_throttle:
            work.tables.drop_place(flow.key, run.ord)
            throttles.consume(work, run, flow)
        elif not work.tables.place(flow.key, run.ord):
            work.tables.put_place(flow.key, run.ord, run.function, is_taken=True)
    return None


def give(work: Work, run: Run, *, is_over: bool) -> list[str]:
    """Take a run's places from it, and return their keys; what it is to keep from its start to its end it keeps until
    it is over.
    """
    given: list[str] = []
    for flow in run.flow:
        has = work.tables.place(flow.key, run.ord)
        if has is None or (has and flow.is_whole and run.started_at_ms and not is_over):
            continue
        work.tables.drop_place(flow.key, run.ord)
        given.append(flow.key)
        if has:
            work.notices.freed.append(flow.key)
    return given


def room(work: Work, run: Run, key: str, rank: int) -> int | None:
    """Return how many places of a key are left for runs like this one; None: there is no limit."""
    return _room(work, run, next(flow for flow in run.flow if flow.key == key), rank)


def _is_past(run: Run, flow: Flow) -> bool:
    return flow.is_throttle and run.started_at_ms > 0


def _may_take(work: Work, run: Run, flow: Flow, rank: int) -> bool:
    has = work.tables.place(flow.key, run.ord)
    if has is None:
        return _has_room(work, run, flow, rank)
    if flow.is_throttle:
        return throttles.tokens(work, run, flow) > 0
    limit = limit_now(work.tables.catalog(), run.function, flow)
    return has or limit is None or work.tables.places_taken(flow.key) < limit


def _has_room(work: Work, run: Run, flow: Flow, rank: int) -> bool:
    """Nobody overtakes a run of the same function that is better placed in the line."""
    if work.tables.place(flow.key, run.ord) is not None:
        return True
    room = _room(work, run, flow, rank)
    return room is None or (room > 0 and _is_next(work, run, flow, rank))


def _room(work: Work, run: Run, flow: Flow, rank: int) -> int | None:
    """Return how many places are left for a run of this function and rank; None: there is no limit."""
    offered = _offered_before(work, run, flow, rank)
    if flow.is_throttle:
        return throttles.tokens(work, run, flow) - offered
    limit = limit_now(work.tables.catalog(), run.function, flow)
    return None if limit is None else limit - work.tables.places_taken(flow.key) - offered


def _offered_before(work: Work, run: Run, flow: Flow, rank: int) -> int:
    """A new run without an order of its own is behind all that are offered a place."""
    if rank == NEW:
        return work.tables.places_offered(flow.key, run.function)
    return work.tables.offers_before(flow.key, run.function, rank, run.ord)


def _is_next(work: Work, run: Run, flow: Flow, rank: int) -> bool:
    heads = work.tables.line_heads(flow.key)
    return all(head.function != run.function or (head.rank, head.ord) >= (rank, run.ord) for head in heads)
