"""What limits promise, looked at in the rows of a store in memory: nobody has more than there is, and nothing is kept
from who waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from onward_engine.model import Flow, Run, Status
from onward_engine.rules.flow.limits import limit_now
from onward_engine.store.memory_tables import MemoryTables
from onward_engine.store.port import LIMIT_LOG
from onward_engine.store.tables import QueueRow, QueueState
from onward_engine.store.work import limits, offers, throttles

_EXECUTED = frozenset({Status.ASSIGNED, Status.ORPHANED})


def broken_limits(tables: MemoryTables) -> Iterator[str]:
    """Say what is not as it was promised."""
    for run in tables.runs.values():
        yield from _misplaced(tables, run)
    highest = _highest(tables)
    for key, places in tables._places.items():
        if tables.places_taken(key) > highest.get(key, 0):
            yield f"{tables.places_taken(key)} places of {key} are taken, of {highest.get(key)} at most"
        for ord in places:
            if not any(flow.key == key for flow in tables.runs[ord].flow):
                yield f"{tables.runs[ord].id} has a place of {key}, which is none of its limits"
    for row in tables.queue_rows():
        if row.state is QueueState.LINE:
            yield from _kept_from(tables, row)


def _highest(tables: MemoryTables) -> dict[str, int]:
    """Return the highest that the limit of each key has ever been."""
    highest: dict[str, int] = {}
    for run in tables.runs.values():
        for flow in run.flow:
            log = tables.item(LIMIT_LOG, run.function, flow.option)
            changes = limits.changes_of(log) if log else []
            values = [value for change in changes for value in (change.before, change.after) if value is not None]
            highest[flow.key] = max(highest.get(flow.key, 0), flow.limit, *values)
    return highest


def _misplaced(tables: MemoryTables, run: Run) -> Iterator[str]:
    for flow in run.flow:
        place = tables.place(flow.key, run.ord)
        if flow.is_throttle:
            if place is not None and (place or run.started_at_ms):
                yield f"{run.id} keeps its turn under {flow.key}"
        elif run.status in _EXECUTED and place is not True:
            yield f"{run.id} is {run.status} without its place of {flow.key}"
        elif run.status.is_terminal and place is not None:
            yield f"{run.id} is over, and has a place of {flow.key}"
        elif run.status is Status.PARKED and place is not (True if flow.is_whole else None):
            yield f"{run.id} is parked; its place of {flow.key}: {place}"


def _kept_from(tables: MemoryTables, row: QueueRow) -> Iterator[str]:
    """Say whether a run stands at the head of a line for what is free, and nobody will look at it."""
    run = tables.runs[row.ord]
    flow = next(flow for flow in run.flow if flow.key == row.flow_key)
    if row not in tables.line_heads(flow.key) or _is_looked_at(tables, run, flow):
        return
    limit = limit_now(tables.catalog(), run.function, flow)
    used = tables.places_taken(flow.key) + tables.places_offered(flow.key, run.function)
    used += sum(_stands_for(tables, other, flow.key) for other in tables.queue_rows() if other.function == run.function)
    if flow.is_throttle and not used:
        yield f"{run.id} waits for {flow.key}, and nothing will let it in"
    elif not flow.is_throttle and (limit is None or used < limit):
        yield f"{run.id} waits for {flow.key}, of which {used} of {limit} are used"


def _stands_for(tables: MemoryTables, row: QueueRow, key: str) -> bool:
    """Tell whether a run takes a place as soon as it is let in where it stands in line."""
    keys = [flow.key for flow in tables.runs[row.ord].flow]
    return row.state is QueueState.LINE and key in keys[: keys.index(row.flow_key)]


def _is_looked_at(tables: MemoryTables, run: Run, flow: Flow) -> bool:
    kinds = ((throttles.KIND, flow.key), (offers.LINE, flow.key), (limits.KIND, run.function))
    return any((item := tables.item(kind, owner, "")) and item.due_at_ms is not None for kind, owner in kinds)
