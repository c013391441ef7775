"""Who is next among the new runs of a function.

Without options it is the order of acceptance. `priority` moves a run forward or back in time, and an urgent one before
everything. `fair` gives each value of its key its share, by start-time fair queueing (Goyal, Vin, Cheng 1996): a run
stands one interval, divided by its key's weight, behind the last one of its key, and never before the first of all.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct
from onward_protocol.messages import FairRule, FunctionManifest

from ..conditions import TRIGGER, Document
from ..expressions import ExpressionError, Value, expression
from .keys import value_of

AGAIN = 0
NEW = 1
URGENT = -1

FIRST = 2
"""Ranks from here on are those of a function with an order of its own."""

INTERVAL = 1_000_000
"""Between two runs of a key with weight 1."""

SHIFT_S_MAX = 600
WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0


class RankClass(IntEnum):
    """The order between functions; within one function it is the rank."""

    URGENT = 0
    AGAIN = 1
    NEW = 2


class Share(Struct, frozen=True):
    """Where a run stands in the order of a fair function: the value of its key, and that value's weight."""

    key: str
    weight: float


def class_of(rank: int) -> RankClass:
    """Return the class of a rank."""
    if rank > AGAIN:
        return RankClass.NEW
    return RankClass.AGAIN if rank == AGAIN else RankClass.URGENT


def has_order(rank: int) -> bool:
    """Tell whether a new run of this rank may be before one that came earlier."""
    return rank not in (AGAIN, NEW)


def priority_rank(function: FunctionManifest, document: Document, created_at_ms: int) -> int:
    """Return the rank of a new run of a function that has no `fair`. Raises `ExpressionError`."""
    if not function.priority:
        return NEW
    value = expression(function.priority, TRIGGER).value(document)
    if value == "urgent":
        return URGENT
    return FIRST + max(0, created_at_ms - round(_seconds(function.priority, value) * 1000))


def share_of(rule: FairRule, document: Document) -> Share:
    """Return the share of a run. Raises `ExpressionError`."""
    weight = expression(rule.weight, TRIGGER).value(document) if rule.weight else 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        raise ExpressionError(f"it gives no weight from {WEIGHT_MIN} to {WEIGHT_MAX:g}", 0, rule.weight)
    return Share(value_of(rule.key, document), float(weight))


def fair_rank(share: Share, first: int, last: int) -> int:
    """Return the rank of a run behind the last of its key; `first` is the function's first. 0: there is none."""
    following = last + round(INTERVAL / share.weight) if last else FIRST
    return max(FIRST, first, following)


def _seconds(source: str, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError('it gives neither a number of seconds nor "urgent"', 0, source)
    return max(-SHIFT_S_MAX, min(SHIFT_S_MAX, value))
