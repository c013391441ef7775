"""Limits that people set while the engine runs, and those who wait for one that has risen.

What waits may be many lines of a function. An item goes along them, some in a transaction, and has each looked at.
"""

from __future__ import annotations

import msgspec
from onward_protocol.messages import AppManifest

from ...model import Item
from ...rules.flow import limits, problems
from ..port import LIMIT_LOG, LimitChange, LimitSet, SetLimit
from . import offers
from .context import Work

KIND = "relimit"
KEPT_MAX = 20
"""So many changes of a limit are kept: who, when, from and to what."""

LINES_MAX = 50
"""So many lines are gone along in a transaction: some 30 ms with a run let in from each, 120 ms with `LET_IN_MAX`."""

_changes = msgspec.json.Decoder(list[LimitChange])


def set_limit(work: Work, op: SetLimit) -> LimitSet:
    """Set a limit, or set it back to what the code says. May be repeated."""
    catalog = work.tables.catalog()
    function = catalog.functions.get(op.function)
    if function is None:
        return LimitSet("unknown_function")
    declared = limits.adjustable(function).get(op.option)
    before = catalog.limits.get((op.function, op.option))
    if declared is None:
        return LimitSet("unknown_option")
    if op.limit is not None and (reason := problems.problem(limits.with_limit(function, op.option, op.limit))):
        return LimitSet("impossible", declared, before, reason)
    if before != op.limit:
        _set(work, op, before)
        if (declared if op.limit is None else op.limit) > (declared if before is None else before):
            look_again(work, op.function)
    return LimitSet("set", declared, before)


def look_again(work: Work, function: str, after: str = "") -> None:
    """Have all lines looked at in which runs of a function stand, behind a key."""
    work.tables.put_item(Item(KIND, function, "", work.now_ms, after.encode()))


def register(work: Work, app: AppManifest, before: AppManifest | None) -> None:
    """Let in who waits for a limit that has changed with a new version of the code, or is gone."""
    known = {function.id: function for function in before.functions} if before else {}
    for function in app.functions:
        if function.id in known and limits.has_other_limits(known[function.id], function):
            look_again(work, function.id)


def go_along(work: Work, item: Item) -> None:
    """Have the next lines looked at, when those before have been let in: no transaction grows with what they let in."""
    if any(due.kind == offers.LINE for due in work.tables.items_due(work.now_ms, LINES_MAX)):
        return
    keys = work.tables.line_keys(item.owner, item.body.decode(), LINES_MAX)
    for key in keys:
        work.tables.put_item(Item(offers.LINE, key, "", work.now_ms))
    if len(keys) == LINES_MAX:
        look_again(work, item.owner, keys[-1])
    else:
        work.tables.drop_item(item.kind, item.owner, item.name)


def changes_of(item: Item) -> list[LimitChange]:
    """Return what was changed of a limit, the newest change first."""
    return _changes.decode(item.body)


def _set(work: Work, op: SetLimit, before: int | None) -> None:
    work.tables.set_limit(op.function, op.option, op.limit)
    log = work.tables.item(LIMIT_LOG, op.function, op.option)
    changes = [LimitChange(op.now_ms, op.by, before, op.limit), *(changes_of(log) if log else ())]
    work.tables.put_item(Item(LIMIT_LOG, op.function, op.option, None, msgspec.json.encode(changes[:KEPT_MAX])))
    work.notices.registered = True
