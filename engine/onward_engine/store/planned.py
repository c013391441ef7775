"""Schedules, as items: one for each schedule of a function, due when its next tick is to be fired."""

from __future__ import annotations

import msgspec

from ..model import Item
from ..rules import schedules
from ..rules.schedules import Plan

KIND = "schedule"

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Plan).decode


def item_of(function: str, name: str, plan: Plan) -> Item:
    """Return what is kept of a plan. `name` is the schedule's number among those of its function."""
    tick_ms = plan.next_at_ms
    due_at_ms = None if tick_ms is None else schedules.fires_at_ms(function, plan.schedule, tick_ms)
    return Item(KIND, function, name, due_at_ms, _pack(plan))


def plan_of(item: Item) -> Plan:
    """Return the plan that was kept."""
    return _unpack(item.body)
