"""What a queue in memory tells people: what every store has to answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import assert_never

from onward_protocol.messages import CallbackWait, EventWait, Invoke, SignalWait, Sleep, Wait

from ..model import Run
from ..rules.flow.facts import AHEAD_MAX, COUNTED_MAX, STATES, WAITS_MAX, Awaited, AwaitedKind, Backlog, Line, Queued
from ..rules.watches import is_reserved
from .tables import OpenWait, QueueRow, QueueState


def queued_of(row: QueueRow, rows: Iterable[QueueRow], ahead_max: int) -> Queued:
    """Return where a row is among these."""
    better = (one for one in rows if _is_beside(one, row) and (one.rank, one.ord) < (row.rank, row.ord))
    return queued(row, sum(1 for _ in islice(better, ahead_max)))


def queued(row: QueueRow, ahead: int) -> Queued:
    """Return a row of the queue as people see it."""
    return Queued(STATES[row.state], row.rank, row.due_at_ms, row.flow_key, ahead)


def has_order(row: QueueRow) -> bool:
    """Tell whether it matters who stands before a row."""
    return row.state in (QueueState.OPEN, QueueState.LINE)


def backlog_of(functions: Sequence[str], rows: Iterable[QueueRow], runs: Mapping[int, Run]) -> dict[str, list[Backlog]]:
    """Return how many of these rows each function has in each state. `runs` has the run of each row."""
    found: dict[str, list[Backlog]] = {}
    wanted = sorted((row for row in rows if row.function in functions), key=_by_state)
    for (function, state), group in groupby(wanted, lambda row: (row.function, row.state)):
        same = list(group)
        since_ms = same[0].due_at_ms if state is QueueState.OPEN else runs[same[0].ord].created_at_ms
        found.setdefault(function, []).append(Backlog(STATES[state], min(len(same), COUNTED_MAX), since_ms))
    return found


def lines_of(function: str, rows: Iterable[QueueRow], after: str, limit: int) -> list[Line]:
    """Return the lines in which rows of a function stand."""
    mine = (row for row in rows if row.function == function and row.state is QueueState.LINE)
    counts = Counter(row.flow_key for row in mine if row.flow_key > after)
    return [Line(key, min(counts[key], AHEAD_MAX)) for key in sorted(counts)[:limit]]


def shares_of(function: str, rows: Iterable[QueueRow], after: str, limit: int) -> list[Line]:
    """Return the keys by which rows of a function take turns."""
    counts = Counter(row.fair_key for row in rows if row.function == function and row.fair_key > after)
    return [Line(key, min(counts[key], AHEAD_MAX)) for key in sorted(counts)[:limit]]


def awaited(waits: Iterable[OpenWait]) -> Iterator[Awaited]:
    """Return what these waits are for, without those of the engine's own."""
    for wait in islice(waits, WAITS_MAX):
        if not is_reserved(wait.key):
            kind, about = _about(wait.wait)
            yield Awaited(wait.key, kind, wait.child or about, wait.due_at_ms)


def _about(wait: Wait) -> tuple[AwaitedKind, str]:
    match wait:
        case Sleep():
            return "sleep", ""
        case EventWait():
            return "event", wait.event
        case SignalWait():
            return "signal", wait.name
        case CallbackWait():
            return "callback", ""
        case Invoke():
            return "invoke", wait.function
        case _:
            assert_never(wait)


def _is_beside(one: QueueRow, row: QueueRow) -> bool:
    return has_order(row) and (one.function, one.state, one.flow_key) == (row.function, row.state, row.flow_key)


def _by_state(row: QueueRow) -> tuple[str, int, int]:
    return row.function, row.state, row.ord
