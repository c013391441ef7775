"""Runs that somebody is to claim: the queue.

A run can be claimed when each of its limits has room for it. Otherwise it stands in one line, that of the first limit
without room; whoever gives a place back lets the next one in, and that is also when a woken run's holder is asked to
take it.
"""

from __future__ import annotations

from itertools import takewhile

from msgspec.structs import replace
from onward_protocol.messages import FunctionManifest

from ...model import Flow, Item, Run, Status
from ...rules.conditions import Document
from ...rules.flow.keys import has_value
from ...rules.flow.ranks import AGAIN, NEW, URGENT
from ..port import Unclear
from ..tables import QueueRow, QueueState
from . import places, standing, throttles
from .context import Work

__all__ = ["AGAIN", "NEW", "URGENT"]

LINE = "line"
"""The kind of items that let in who waits for a key, where one transaction was not enough."""

LET_IN_MAX = 16
"""So many runs of one line are looked at in a transaction: each may turn out to be in the way of another limit."""

_IN_QUEUE = (Status.QUEUED, Status.ORPHANED, Status.READY)


def offer(work: Work, run: Run, rank: int = AGAIN, due_at_ms: int = 0, fair_key: str = "") -> None:
    """Queue a run, claimable from `due_at_ms` on (0: at once), as soon as it has its places; a held one when it is
    resumed. One whose holder may still execute it keeps its places until somebody else could have it.
    """
    row = QueueRow(run.ord, run.function, rank, QueueState.OPEN, due_at_ms, fair_key=fair_key)
    if run.is_held and run.status is not Status.ORPHANED:
        keys = stood_for(work, run)
        work.tables.put_queue_row(replace(row, state=QueueState.HELD))
        give_places(work, run)
        for key in keys:
            let_in(work, key)
    elif run.flow and (flow := places.reserve(work, run, rank)):
        _stand_in_line(work, run, row, flow)
    else:
        _open(work, run, row)


def enqueue(work: Work, run: Run, function: FunctionManifest, document: Document) -> None:
    """Queue a run that has gathered its events; its limits are those of the first."""
    place, unclear = standing.anyhow(work, function, document)
    if unclear:
        work.notices.unclear.append(Unclear(function.id, "", unclear, run.id))
    offer(work, run, place.rank, fair_key=place.fair_key)


def offer_again(work: Work, run: Run) -> None:
    """Queue a run anew that is held from now on, or is not any more. One that is not queued stays where it is, and so
    does one that gathers events.

    One that is to clean up is not new, even if nobody has begun it: a pause of its function must not keep it.
    """
    row = work.tables.queue_row(run.ord) if run.status in _IN_QUEUE else None
    if row is not None and row.state is not QueueState.GATHERED:
        offer(work, run, row.rank if run.cancel_reason is None else AGAIN, row.due_at_ms, row.fair_key)


def withdraw(work: Work, run: Run) -> None:
    """Take a run out of the queue, if its status says that it is there; it keeps what places it has."""
    if run.status in _IN_QUEUE:
        work.tables.drop_queue_row(run.ord)


def take_places(work: Work, run: Run) -> bool:
    """Give a run that is to be assigned its places. If one of its limits has no room, it stands in line there."""
    if not run.flow:
        return True
    row = work.tables.queue_row(run.ord) if run.status in _IN_QUEUE else None
    flow = places.take(work, run, row.rank if row else AGAIN)
    if flow is None:
        return True
    if row is not None and row.state is not QueueState.HELD:
        give_places(work, run)
        _stand_in_line(work, run, row, flow)
    return False


def give_places(work: Work, run: Run, *, is_over: bool = False) -> None:
    """Give a run's places back and let in whoever is next in their lines."""
    if run.flow:
        for key in places.give(work, run, is_over=is_over):
            let_in(work, key)


def let_in(work: Work, key: str) -> None:
    """Queue anew those who stand in line for a key, as long as there is room for them."""
    left = LET_IN_MAX
    for function in [head.function for head in work.tables.line_heads(key)]:
        left = _let_in_of(work, key, function, left)
    if left == 0:
        work.tables.put_item(Item(LINE, key, "", work.now_ms))


def stood_for(work: Work, run: Run) -> list[str]:
    """Return the keys of which a run takes places as soon as it is let in where it stands in line."""
    row = work.tables.queue_row(run.ord) if len(run.flow) > 1 and run.status in _IN_QUEUE else None
    if row is None or row.state is not QueueState.LINE:
        return []
    return [flow.key for flow in takewhile(lambda flow: flow.key != row.flow_key, run.flow)]


def go_on(work: Work, item: Item) -> None:
    """Let in more of those who stand in line."""
    work.tables.drop_item(item.kind, item.owner, item.name)
    let_in(work, item.owner)


def pass_throttle(work: Work, item: Item) -> None:
    """Let in who has waited long enough for a throttle; forget it if nobody waits."""
    passed = throttles.passed(item)
    let_in(work, item.owner)
    throttles.arm(work, passed.function, Flow(item.owner, passed.option, passed.limit))


def open_due(work: Work, limit: int) -> None:
    """Make claimable what is due."""
    for row in work.tables.rows_due(work.now_ms, limit):
        work.tables.put_queue_row(replace(row, state=QueueState.OPEN, due_at_ms=work.now_ms))
        work.notices.queued.add(row.function)


def _let_in_of(work: Work, key: str, function: str, left: int) -> int:
    """Whoever finds room here and waits for another limit then stands for that place: those who would wait there as
    well have no place beside it. Otherwise the whole line would move on, and back again. It is so only with a limit
    that all of them are under: behind those who would wait for one value there may be one who waits for nothing.
    """
    standing = 0
    awaited: set[str] = set()
    while left > 0 and (row := _head(work, key, function)):
        run = work.tables.run_at(row.ord)
        room = places.room(work, run, key, row.rank)
        if room is not None and room <= standing and _waits_for(work, run, awaited):
            break
        if not _lets_in(work, row):
            break
        left -= 1
        line = _line_of(work, run)
        if key in stood_for(work, run) and not has_value(line):
            standing += 1
            awaited.add(line)
    return left


def _waits_for(work: Work, run: Run, keys: set[str]) -> bool:
    return any(flow.key in keys and work.tables.place(flow.key, run.ord) is None for flow in run.flow)


def _line_of(work: Work, run: Run) -> str:
    row = work.tables.queue_row(run.ord)
    return row.flow_key if row is not None else ""


def _head(work: Work, key: str, function: str) -> QueueRow | None:
    return next((head for head in work.tables.line_heads(key) if head.function == function), None)


def _lets_in(work: Work, row: QueueRow) -> bool:
    """Offer a run from the head of a line; False if it has to stay there."""
    offer(work, work.tables.run_at(row.ord), row.rank, 0, row.fair_key)
    now = work.tables.queue_row(row.ord)
    return now is None or now.state is not QueueState.LINE or now.flow_key != row.flow_key


def _stand_in_line(work: Work, run: Run, row: QueueRow, flow: Flow) -> None:
    row = replace(row, state=QueueState.LINE, due_at_ms=0, flow_key=flow.key)
    if work.tables.queue_row(run.ord) != row:
        work.tables.put_queue_row(row)
    if flow.is_throttle:
        throttles.arm(work, run.function, flow)


def _open(work: Work, run: Run, row: QueueRow) -> None:
    due_at_ms = row.due_at_ms
    if run.status is Status.READY and run.holder:
        due_at_ms = max(due_at_ms, work.now_ms + work.times.affinity_ms)
        work.remind(run)
    if due_at_ms > work.now_ms:
        work.tables.put_queue_row(replace(row, state=QueueState.LATER, due_at_ms=due_at_ms))
    else:
        work.tables.put_queue_row(replace(row, state=QueueState.OPEN, due_at_ms=work.now_ms))
        work.notices.queued.add(run.function)
