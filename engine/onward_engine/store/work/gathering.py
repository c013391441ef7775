"""Runs that gather events: the first event makes the run, the others join it, and time or their number begins it.

An item for each value of the key says which run it is and when it begins. The run's queue row names the item's owner.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import BatchRule, DebounceRule, Event, FunctionManifest

from ...model import Item, Run, Status
from ...rules.flow import gathering as rules
from ...rules.flow.entry import DEBOUNCE, gathering_rule, kind_of
from ...rules.flow.gathering import Gathered
from ...rules.flow.keys import document_of
from ...rules.waits import LOOK_BACK_MS
from ..tables import QueueRow, QueueState
from . import offers, watches
from .context import Work

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Gathered).decode


def gathered_of(item: Item) -> Gathered:
    """Return what an item of these kinds tells of its run."""
    return _unpack(item.body)


def moved(item: Item, by_ms: int) -> Item:
    """Return the same on a clock that has jumped."""
    gathered = gathered_of(item)
    gathered = replace(gathered, since_ms=gathered.since_ms + by_ms)
    return replace(item, due_at_ms=(item.due_at_ms or 0) + by_ms, body=_pack(gathered))


def begin(work: Work, run: Run, function: FunctionManifest, event: Event, owner: str) -> None:
    """Let a new run gather events. It is in no line meanwhile, and holds no place."""
    rule = gathering_rule(function)
    assert rule is not None, "whoever gathers has a rule"
    work.tables.put_queue_row(QueueRow(run.ord, run.function, offers.NEW, QueueState.GATHERED, flow_key=owner))
    watches.watch_gathering(work, run, function, event)
    gathered = Gathered(run.id, work.now_ms, event.id, event.ts_ms, has_all=rules.keeps_all(rule))
    _wait(work, run, rule, owner, gathered)


def join(work: Work, function: FunctionManifest, event: Event, owner: str) -> str:
    """Have an event join the run that gathers those of its key, and return that run; empty if none can take it."""
    rule, item = gathering_rule(function), work.tables.item(kind_of(owner), owner, "")
    gathered = gathered_of(item) if item else None
    run = work.tables.run(gathered.run) if gathered else None
    if rule is None or item is None or gathered is None or run is None or not _takes_events(run):
        return ""
    if not rules.has_room(rule, gathered, run.state_bytes, event, work.limits):
        _begin(work, run, owner, gathered)
        return ""
    work.tables.join_event(event.id, run.id)
    run = _take(work, run, function, event, gathered)
    gathered = rules.with_event(rule, gathered, event)
    if gathered.is_due or (item.due_at_ms or 0) <= work.now_ms:  # its time is up, whatever comes now
        _keep(work, owner, gathered, item.due_at_ms)
    else:
        _wait(work, run, rule, owner, gathered)
    return run.id


def ripen(work: Work, item: Item) -> None:
    """Begin a run that has waited long enough. A debounced one takes events until a worker has it."""
    gathered = gathered_of(item)
    run = work.tables.run(gathered.run)
    if run is None or not _takes_events(run):
        work.tables.drop_item(item.kind, item.owner, item.name)
    elif gathered.is_due:
        _keep(work, item.owner, gathered, rules.looked_at_ms(gathered, work.now_ms))
    else:
        _begin(work, run, item.owner, gathered)


def _takes_events(run: Run) -> bool:
    return run.status is Status.QUEUED and run.epoch == 0


def _wait(work: Work, run: Run, rule: DebounceRule | BatchRule, owner: str, gathered: Gathered) -> None:
    """Have a run begin when it is time; at once if it has all the events that it can have."""
    if rules.is_full(rule, gathered):
        _begin(work, run, owner, gathered)
    else:
        _keep(work, owner, gathered, rules.until_ms(rule, gathered.since_ms, work.now_ms))


def _begin(work: Work, run: Run, owner: str, gathered: Gathered) -> None:
    """Queue a run with the events that it has. Only from now on it is late."""
    if gathered.is_due:
        return
    function = work.tables.catalog().functions.get(run.function)
    if function is None:  # nobody offers it any more
        offers.offer(work, run, offers.NEW)
    else:
        event = work.tables.event(gathered.event)
        watches.open_all(work, run, function, event)
        offers.enqueue(work, run, function, document_of(event, b""))
    if kind_of(owner) == DEBOUNCE:
        _keep(work, owner, replace(gathered, is_due=True), rules.looked_at_ms(gathered, work.now_ms))
    else:
        work.tables.drop_item(kind_of(owner), owner, "")


def _keep(work: Work, owner: str, gathered: Gathered, due_at_ms: int | None) -> None:
    work.tables.put_item(Item(kind_of(owner), owner, "", due_at_ms, _pack(gathered)))


def _take(work: Work, run: Run, function: FunctionManifest, event: Event, gathered: Gathered) -> Run:
    """Give a run one more event, or another one in place of the one that it had."""
    if gathered.has_all:
        work.tables.put_events(run, (*work.tables.made_of(run), event.id))
        return work.put(replace(work.run(run.id), state_bytes=run.state_bytes + rules.size_of(event)))
    if not rules.is_newest(gathered, event):
        _release(work, event.id)
        return run
    _release(work, gathered.event)
    work.tables.put_events(run, (event.id,))
    watches.rebind(work, run, function, event)
    return work.put(replace(work.run(run.id), state_bytes=len(event.data)))


def _release(work: Work, event: str) -> None:
    """Let a run go without an event. What deletes old events may have passed this one by, because of the run."""
    row = work.tables.release_event(event)
    if row is not None and row.runs == 0 and row.received_at_ms < work.now_ms - LOOK_BACK_MS:
        work.tables.drop_event(row.ord)
