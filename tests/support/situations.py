"""Where a run may be: looked at after every commit, in the rows themselves.

Somebody will claim it, or executes it, or a wait ends, or it is over. There is no other place, so that nobody is ever
stuck; and never more runs of a key hold a place than its limit allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from onward_engine.model import Run, Status
from onward_engine.store.port import Enter, Entered, Op
from onward_engine.store.tables import Tables

IN_THE_QUEUE = frozenset({Status.QUEUED, Status.ORPHANED, Status.READY})
IN_A_PLACE = frozenset({Status.ASSIGNED, Status.ORPHANED})


def misplaced(runs: Sequence[Run], tables: Tables) -> Iterator[str]:
    """Say which runs are where nobody looks for them, and which limits are exceeded."""
    places: Counter[str] = Counter()
    for run in runs:
        row = tables.queue_row(run.ord)
        if run.status in IN_THE_QUEUE and row is None:
            yield f"{run.id} is {run.status} and in no queue"
        elif run.status not in IN_THE_QUEUE and row is not None:
            yield f"{run.id} is {run.status} and in the queue: {row}"
        if run.status is Status.PARKED and not tables.has_waits(run.ord):
            yield f"{run.id} is parked and waits for nothing"
        if run.flow_key and run.status in IN_A_PLACE:
            places[run.flow_key] += 1
            if places[run.flow_key] > run.flow_limit:
                yield f"{places[run.flow_key]} runs of {run.flow_key} are executed, {run.flow_limit} may be"


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
