"""Throttles: what has begun under one of their keys, and when the next in line may.

It is an item: owned by the key, due when the next in line may be let in, or when it can be forgotten.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from onward_protocol.messages import ThrottleRule

from ...model import Flow, Item, Run
from ...rules.flow import throttle
from ...rules.flow.keys import THROTTLE
from ...rules.flow.limits import limit_now
from ...rules.flow.ranks import has_order
from ..tables import QueueRow
from .context import Work

KIND = THROTTLE
_UNLIMITED = 2**31


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """When the next start would be on time and when the newest was, with which interval, in microseconds; and whose
    limit it is.
    """

    arrival_us: int
    function: str
    option: str
    limit: int
    begun_us: int = 0
    interval_us: int = 0


def tokens(work: Work, run: Run, flow: Flow) -> int:
    """Return how many runs of the key may begin now."""
    found = _rule(work, run.function, flow)
    if found is None:
        return _UNLIMITED
    return throttle.tokens(*found, _known(work, run.function, flow).arrival_us, work.now_ms)


def consume(work: Work, run: Run, flow: Flow) -> None:
    """Note that a run begins."""
    found = _rule(work, run.function, flow)
    if found is not None:
        before = _known(work, run.function, flow)
        arrival_us = throttle.consumed(*found, before.arrival_us, work.now_ms)
        _arm(work, flow.key, replace(before, arrival_us=arrival_us, begun_us=work.now_ms * 1000))


def arm(work: Work, function: str, flow: Flow) -> None:
    """Set when the next run in line may be let in, or when all this may be forgotten."""
    _arm(work, flow.key, _known(work, function, flow))


def moved(item: Item, by_ms: int) -> Item:
    """Return the same on a clock that has jumped."""
    before = passed(item)
    by_us = by_ms * 1000
    after = replace(before, arrival_us=before.arrival_us + by_us, begun_us=before.begun_us + by_us)
    return replace(item, due_at_ms=(item.due_at_ms or 0) + by_ms, body=msgspec.msgpack.encode(after))


def passed(item: Item) -> Passed:
    """Return what an item says."""
    return msgspec.msgpack.decode(item.body, type=Passed)


def _known(work: Work, function: str, flow: Flow) -> Passed:
    """Return what has begun under a key, as if the limit in force had counted all the time."""
    found, item = _rule(work, function, flow), work.tables.item(KIND, flow.key, "")
    known = passed(item) if item else Passed(0, function, flow.option, flow.limit)
    if found is None:
        return known
    interval_us = throttle.interval(*found)
    arrival_us = throttle.adapted(known.arrival_us, known.begun_us, known.interval_us, interval_us)
    return Passed(arrival_us, function, flow.option, flow.limit, known.begun_us, interval_us)


def _arm(work: Work, key: str, known: Passed) -> None:
    due_at_ms = _next_at_ms(work, key, known)
    if due_at_ms is None and known.arrival_us <= work.now_ms * 1000:
        work.tables.drop_item(KIND, key, "")
    else:
        due_at_ms = known.arrival_us // 1000 + 1 if due_at_ms is None else due_at_ms
        work.tables.put_item(Item(KIND, key, "", max(due_at_ms, work.now_ms + 1), msgspec.msgpack.encode(known)))


def _next_at_ms(work: Work, key: str, known: Passed) -> int | None:
    """Return when the first in line may be let in. None if nobody is in line, or if the first waits for runs that may
    begin before it: it is let in after these have begun or are gone.
    """
    head = next(iter(work.tables.line_heads(key)), None)
    found = _rule(work, known.function, Flow(key, known.option, known.limit))
    if head is None or found is None:
        return None
    ahead = _ahead(work, head)
    return throttle.next_at_ms(*found, known.arrival_us, ahead + 1) if ahead < found[0].burst else None


def _ahead(work: Work, head: QueueRow) -> int:
    if has_order(head.rank):
        return work.tables.offers_before(head.flow_key, head.function, head.rank, head.ord)
    return work.tables.places_offered(head.flow_key, head.function)


def _rule(work: Work, function: str, flow: Flow) -> tuple[ThrottleRule, int] | None:
    """Return a throttle and its limit in force; None if the function has none any more."""
    catalog = work.tables.catalog()
    limit = limit_now(catalog, function, flow)
    manifest = catalog.functions.get(function)
    if limit is None or manifest is None or manifest.throttle is None:
        return None
    return manifest.throttle, limit
