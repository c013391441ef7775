"""Where a run may be: looked at after every commit, in the rows themselves.

Somebody will claim it, or executes it, or a wait ends, or it is over. There is no other place, so that nobody is ever
stuck; never more runs of a key are executed than its limit allows, and nobody stands in line for what is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from onward_engine.model import Flow, Run, Status
from onward_engine.store.port import Enter, Entered, Op
from onward_engine.store.tables import QueueRow, QueueState, Tables
from onward_engine.store.work import offers, throttles

IN_THE_QUEUE = frozenset({Status.QUEUED, Status.ORPHANED, Status.READY})
IN_A_PLACE = frozenset({Status.ASSIGNED, Status.ORPHANED})


def misplaced(runs: Sequence[Run], tables: Tables) -> Iterator[str]:
    """Say which runs are where nobody looks for them, and which limits are exceeded."""
    places: Counter[str] = Counter()
    limits: Counter[str] = Counter()  # of functions that share a key each may say another number
    standing = _standing(runs, tables)
    for run in runs:
        row = tables.queue_row(run.ord)
        if run.status in IN_THE_QUEUE and row is None:
            yield f"{run.id} is {run.status} and in no queue"
        elif run.status not in IN_THE_QUEUE and row is not None:
            yield f"{run.id} is {run.status} and in the queue: {row}"
        if run.status is Status.PARKED and not tables.has_waits(run.ord):
            yield f"{run.id} is parked and waits for nothing"
        for flow in run.flow:
            if _is_counted(run, flow):
                places[flow.key] += 1
                limits[flow.key] = max(flow.limit, limits[flow.key])
        if row is not None and row.state is QueueState.LINE:
            yield from _idle(run, row, tables, standing[run.function, row.flow_key])
    for key, count in places.items():
        if count > limits[key]:
            yield f"{count} runs of {key} are executed, {limits[key]} may be"


def _is_counted(run: Run, flow: Flow) -> bool:
    if flow.is_throttle or run.status.is_terminal:
        return False
    return run.status in IN_A_PLACE or (flow.is_whole and run.started_at_ms > 0)


def _standing(runs: Sequence[Run], tables: Tables) -> Counter[tuple[str, str]]:
    """Count who takes a place as soon as it is let in where it stands in line, by function and flow key."""
    found: Counter[tuple[str, str]] = Counter()
    for run in runs if any(len(run.flow) > 1 for run in runs) else ():
        row = tables.queue_row(run.ord)
        if row is not None and row.state is QueueState.LINE:
            keys = [flow.key for flow in run.flow]
            found.update((run.function, key) for key in keys[: keys.index(row.flow_key)])
    return found


def _idle(run: Run, row: QueueRow, tables: Tables, standing: int) -> Iterator[str]:
    """Say whether a run stands at the head of a line for what is free, and nobody will look at it: `standing` others
    stand for a place elsewhere.
    """
    flow = next((flow for flow in run.flow if flow.key == row.flow_key), None)
    if flow is None:
        yield f"{run.id} stands in line for {row.flow_key}, which is none of its limits"
    elif flow.is_throttle:
        if tables.item(throttles.KIND, flow.key, "") is None and not tables.places_offered(flow.key, run.function):
            yield f"{run.id} waits for {flow.key}, and nothing will let it in"
    elif row in tables.line_heads(flow.key) and tables.item(offers.LINE, flow.key, "") is None:
        taken, offered = tables.places_taken(flow.key), tables.places_offered(flow.key, run.function)
        if taken + offered + standing < flow.limit:
            yield f"{run.id} waits for {flow.key}, of which {taken} are taken and {offered} offered of {flow.limit}"


def unlisted(ops: Sequence[Op[object]], outcomes: Sequence[object], tables: Tables) -> Iterator[str]:
    """Say which runs stay with a worker that has said, in this batch, that it does not have them."""
    entered = {
        op.instance: (op, outcome)
        for op, outcome in zip(ops, outcomes, strict=True)
        if isinstance(op, Enter) and isinstance(outcome, Entered)
    }
    for op, outcome in entered.values():
        listed = {held.run for held in op.held}
        for run in tables.held_by(op.instance):
            if run.id not in listed and run.generation < outcome.generation:  # else it was claimed in the same batch
                yield f"{run.id} stays {run.status} with {op.instance}, which does not hold it"
