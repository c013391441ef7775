"""Gates: what an event meets before it starts a run of a function. Each keeps an item for each value of its key.

Whatever starts a run without an event, or has to be accepted, passes beside them: invokes, starts, ticks, reruns, and
handlers of failures.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import FunctionManifest, RateRule

from ...model import Item, Run
from ...rules.flow import rate
from ...rules.flow.entry import IDEMPOTENCY, RATE, Entry
from ...rules.flow.gates import REPLACED, Passed, Skipped, Verdict, occupied, surplus
from ...rules.flow.keys import SINGLETON
from ...rules.flow.rate import Window
from ...rules.triggers import Catalog
from .context import Work

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Window).decode


def first_run(work: Work, entry: Entry) -> str:
    """Return the run that an earlier event with the same idempotency key has started; empty if there is none."""
    item = work.tables.item(IDEMPOTENCY, entry.idempotency, "") if entry.idempotency else None
    return item.body.decode() if item and (item.due_at_ms or 0) > work.now_ms else ""


def judge(work: Work, function: FunctionManifest, entry: Entry) -> Verdict:
    """Say what becomes of an event that would start a run; changes nothing."""
    older = _older(work, function, entry.singleton) if entry.singleton else None
    if function.singleton and function.singleton.mode == "skip" and older is not None:
        return Skipped(occupied(older))
    if function.rate_limit and _is_surplus(work, function, function.rate_limit, entry.rate):
        return Skipped(surplus(function.rate_limit, rate_limit_now(work.tables.catalog(), function)))
    return Passed(older or "")


def pass_on(work: Work, function: FunctionManifest, entry: Entry, passed: Passed, run: str) -> None:
    """Note that a run is about to be made; the one that it replaces is cancelled."""
    if passed.replaces:
        work.abandon(passed.replaces, REPLACED)
    if function.singleton:
        work.tables.put_item(Item(SINGLETON, entry.singleton, "", None, run.encode()))
    if function.rate_limit:
        _count(work, function, function.rate_limit, entry.rate)
    remember(work, function, entry, run)


def remember(work: Work, function: FunctionManifest, entry: Entry, run: str) -> None:
    """Note to which run later events with the same idempotency key belong."""
    if function.idempotency:
        due_at_ms = work.now_ms + function.idempotency.ttl_ms
        work.tables.put_item(Item(IDEMPOTENCY, entry.idempotency, "", due_at_ms, run.encode()))


def forget(work: Work, item: Item) -> None:
    """Forget what counts no longer."""
    work.tables.drop_item(item.kind, item.owner, item.name)


def moved_window(item: Item, by_ms: int) -> Item:
    """Return the starts that a rate counts, on a clock that has jumped."""
    window = rate.moved(_unpack(item.body), by_ms)
    return replace(item, due_at_ms=(item.due_at_ms or 0) + by_ms, body=_pack(window))


def leave(work: Work, run: Run) -> None:
    """Let the next run of a key in, now that this one is over."""
    for flow in run.flow:
        if flow.option == SINGLETON:
            item = work.tables.item(SINGLETON, flow.key, "")
            if item is not None and item.body.decode() == run.id:
                work.tables.drop_item(item.kind, item.owner, item.name)


def rate_limit_now(catalog: Catalog, function: FunctionManifest) -> int:
    """Return how many starts of a function are let through in a period."""
    declared = function.rate_limit.limit if function.rate_limit else 0
    return catalog.limits.get((function.id, "rate_limit"), declared)


def _older(work: Work, function: FunctionManifest, owner: str) -> str | None:
    """Return the newest run of the key that is not over; empty if it is one that has passed beside the gates."""
    item = work.tables.item(SINGLETON, owner, "")
    run = work.tables.run(item.body.decode()) if item else None
    if run is not None and not run.status.is_terminal:
        return run.id
    return "" if work.tables.places_taken(owner) or work.tables.places_offered(owner, function.id) else None


def _is_surplus(work: Work, function: FunctionManifest, rule: RateRule, owner: str) -> bool:
    limit = rate_limit_now(work.tables.catalog(), function)
    return rate.is_full(_window(work, owner), limit, rule.period_ms, work.now_ms)


def _count(work: Work, function: FunctionManifest, rule: RateRule, owner: str) -> None:
    limit = rate_limit_now(work.tables.catalog(), function)
    window = rate.with_start(_window(work, owner), limit, rule.period_ms, work.now_ms)
    due_at_ms = rate.forgotten_at_ms(window, rule.period_ms)
    work.tables.put_item(Item(RATE, owner, "", due_at_ms, _pack(window)))


def _window(work: Work, owner: str) -> Window:
    item = work.tables.item(RATE, owner, "")
    return _unpack(item.body) if item else Window()
