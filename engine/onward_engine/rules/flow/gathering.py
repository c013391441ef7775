"""Events that become one run: until when it waits for more of them, and which of them it gets."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from onward_protocol.limits import Limits
from onward_protocol.messages import BatchRule, DebounceRule, Event

EVENTS_MAX = 1_000
"""Of one run: they come to its worker all together."""

LOOK_MS = 60_000
"""A debounced run that waits for a worker is looked at so often at most, to see whether it has begun."""


class Gathered(Struct, frozen=True, array_like=True):
    """What is known of a run that gathers events: since when, with which it begins, the time of the newest, how many.

    `is_due`: it waits for nothing but a worker. A debounced one still takes events then. `has_all`: it gets all of its
    events, and not only the last.
    """

    run: str
    since_ms: int
    event: str
    newest_ts_ms: int
    count: int = 1
    is_due: bool = False
    has_all: bool = False


def until_ms(rule: DebounceRule | BatchRule, since_ms: int, now_ms: int) -> int:
    """Return when a run begins that has just got an event, if no more come."""
    if isinstance(rule, BatchRule):
        return since_ms + rule.timeout_ms
    quiet_ms = now_ms + rule.period_ms
    return quiet_ms if rule.timeout_ms is None else min(quiet_ms, since_ms + rule.timeout_ms)


def looked_at_ms(gathered: Gathered, now_ms: int) -> int:
    """Return when a debounced run that is due is looked at again: it may wait long for a worker."""
    return now_ms + max(LOOK_MS, now_ms - gathered.since_ms)


def keeps_all(rule: DebounceRule | BatchRule) -> bool:
    """Tell whether a run gets all of its events, and not only the last."""
    return isinstance(rule, BatchRule) or rule.deliver == "all"


def size_max(rule: DebounceRule | BatchRule) -> int:
    """Return how many events make a run begin at once."""
    return min(EVENTS_MAX, rule.size) if isinstance(rule, BatchRule) else EVENTS_MAX


def is_full(rule: DebounceRule | BatchRule, gathered: Gathered) -> bool:
    """Tell whether a run has as many events as it can have."""
    return keeps_all(rule) and gathered.count >= size_max(rule)


def has_room(
    rule: DebounceRule | BatchRule, gathered: Gathered, state_bytes: int, event: Event, limits: Limits
) -> bool:
    """Tell whether a run can take an event. Half of what a run may hold is left to its steps.

    One that has begun under another rule has none for what comes under this one.
    """
    if gathered.has_all is not keeps_all(rule):
        return False
    if not gathered.has_all:
        return True
    return not is_full(rule, gathered) and state_bytes + size_of(event) <= limits.state_bytes_max // 2


def is_newest(gathered: Gathered, event: Event) -> bool:
    """Tell whether an event is the newest by its own time; of two with the same time it is the later one."""
    return event.ts_ms >= gathered.newest_ts_ms


def with_event(rule: DebounceRule | BatchRule, gathered: Gathered, event: Event) -> Gathered:
    """Count one event more; if a run gets only the newest, that is the one with which it begins."""
    more = replace(gathered, count=gathered.count + 1)
    if not is_newest(gathered, event):
        return more
    return replace(more, event=gathered.event if keeps_all(rule) else event.id, newest_ts_ms=event.ts_ms)


def size_of(event: Event) -> int:
    """Return about how many bytes an event takes on its way to a worker, one of many."""
    meta = sum(len(key) + len(text) for key, text in event.meta.items()) if event.meta else 0
    return len(event.data) + len(event.id) + len(event.name) + len(event.key) + 4 * meta
