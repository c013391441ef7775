"""Schedules: planned when their function is registered, and fired tick by tick, each once."""

from __future__ import annotations

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, FunctionManifest

from ...model import Item
from ...rules import schedules as rules
from ...rules.schedules import Plan
from .. import planned
from ..port import Backfill, Backfilled, HoldSchedule, Missed, Rejected
from . import cancel, starts
from .context import Work

OVERTAKEN = "the next tick of its schedule has come"


def plan_app(work: Work, app: AppManifest, before: AppManifest | None) -> None:
    """Plan what an app's functions say now; what they said before and say no longer ticks no more."""
    old = {function.id for function in before.functions if function.schedules} if before else set[str]()
    for function in app.functions:
        if function.schedules or function.id in old:
            _plan(work, function)
    for gone in sorted(old - {function.id for function in app.functions}):
        _plan(work, FunctionManifest(gone))


def fire(work: Work, item: Item) -> None:
    """Fire the ticks of a schedule that are due, and plan the next one."""
    function = work.tables.catalog().functions.get(item.owner)
    if function is None:  # its app is registered without it
        work.tables.drop_item(item.kind, item.owner, item.name)
        return
    plan = planned.plan_of(item)
    due = rules.due(function.id, plan, work.now_ms)
    for tick_ms in due.ticks:
        plan = _tick(work, function, plan, tick_ms)
    plan = replace(plan, next_at_ms=due.next_at_ms, missed=plan.missed + due.missed)
    work.tables.put_item(planned.item_of(function.id, item.name, plan))
    if due.missed or due.late:
        work.notices.missed.append(Missed(function.id, due.missed, due.late))


def hold_schedule(work: Work, op: HoldSchedule) -> bool:
    """Let a schedule rest, or tick again from now on."""
    item = work.tables.item(planned.KIND, op.function, op.name)
    if item is None:
        return False
    plan = planned.plan_of(item)
    if plan.is_paused != op.is_paused:
        plan = rules.paused(plan) if op.is_paused else rules.resumed(plan, work.now_ms)
        work.tables.put_item(planned.item_of(op.function, op.name, plan))
    return True


def backfill(work: Work, op: Backfill) -> tuple[Backfilled, ...] | Rejected:
    """Start the runs of ticks of the past that have none."""
    function = work.tables.catalog().functions.get(op.function)
    if function is None:
        return Rejected("unknown_function", starts.unknown(op.function))
    return tuple(_backfill(work, function, op, tick_ms) for tick_ms in op.ticks)


def _plan(work: Work, function: FunctionManifest) -> None:
    kept = {item.name: planned.plan_of(item) for item in work.tables.items(planned.KIND, function.id)}
    for index, schedule in enumerate(function.schedules):
        same = next((plan for plan in kept.values() if rules.is_same(plan.schedule, schedule)), None)
        in_place = kept.get(str(index))  # whoever has paused it means the function's schedule, whatever it says now
        is_paused = in_place is not None and in_place.is_paused
        plan = rules.planned(schedule, work.now_ms, same, is_paused=is_paused)
        work.tables.put_item(planned.item_of(function.id, str(index), plan))
    for name in kept:
        if int(name) >= len(function.schedules):
            work.tables.drop_item(planned.KIND, function.id, name)


def _tick(work: Work, function: FunctionManifest, plan: Plan, tick_ms: int) -> Plan:
    id = rules.run_id(function.id, plan.schedule, tick_ms)
    if work.tables.run(id) is None:
        if _is_in_the_way(work, plan):
            return replace(plan, skipped=plan.skipped + 1)
        starts.start_for_tick(work, id, function, rules.event_of(function.id, plan.schedule, tick_ms))
    return replace(plan, last_at_ms=tick_ms, last_run=id)


def _is_in_the_way(work: Work, plan: Plan) -> bool:
    """Tell whether the last tick's run keeps this one from being started; or see to it that it ends."""
    if plan.schedule.overlap == "allow" or not plan.last_run:
        return False
    previous = work.tables.run(plan.last_run)
    if previous is None or previous.status.is_terminal:
        return False
    if plan.schedule.overlap == "skip":
        return True
    cancel.cancel(work, previous, OVERTAKEN, cancel.CLEANUP_MS)
    return False


def _backfill(work: Work, function: FunctionManifest, op: Backfill, tick_ms: int) -> Backfilled:
    id = rules.run_id(function.id, op.schedule, tick_ms)
    is_new = work.tables.run(id) is None
    if is_new:
        starts.start_for_tick(work, id, function, rules.event_of(function.id, op.schedule, tick_ms))
    return Backfilled(tick_ms, id, is_new)
