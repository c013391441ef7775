"""What becomes of a schedule's ticks: which of them are fired, when, and what is kept of a schedule in between."""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from onward_protocol.ids import derived_id
from onward_protocol.messages import Event, FunctionManifest, Schedule

from . import cron

TICK = "onward/tick"
"""The name of the events that ticks are for functions."""

SCHEDULES_MAX = 20
"""Of one function."""

JITTER_MS_MAX = 24 * 60 * 60 * 1000

LATE_MS = 60_000
"""A tick that is fired within a minute was not missed: an engine is started again in less."""

CATCH_UP_MAX = 1_000
"""Missed ticks that are made up for, the newest: nobody wants last year's minutes."""

FIRED_MAX = 100
"""Ticks of one schedule that one transaction fires."""


class Plan(Struct, frozen=True):
    """What is kept of a schedule. `next_at_ms` is its next tick, without jitter; None while it is paused.

    `last_run` was started by the tick at `last_at_ms`. `skipped` counts ticks that came while that one still ran,
    `missed` those that nobody fired in time and that are not made up for.
    """

    schedule: Schedule
    next_at_ms: int | None
    is_paused: bool = False
    last_at_ms: int = 0
    last_run: str = ""
    skipped: int = 0
    missed: int = 0


class Due(Struct, frozen=True):
    """Ticks to fire now, oldest first, and how many of them are late; the next one after them; and how many are given
    up.
    """

    ticks: tuple[int, ...]
    next_at_ms: int | None
    missed: int = 0
    late: int = 0


def problem(function: FunctionManifest) -> str | None:
    """Say which schedule of a function can never tick as it says; None if all can."""
    if len(function.schedules) > SCHEDULES_MAX:
        return f"{function.id}: {len(function.schedules)} schedules; {SCHEDULES_MAX} are allowed"
    if len({_identity(schedule) for schedule in function.schedules}) < len(function.schedules):
        return f"{function.id}: two schedules tick at the same moments"
    for schedule in function.schedules:
        owner = f"{function.id}, schedule {schedule.expression!r}"
        if found := cron.expression_problem(schedule.expression):
            return f"{owner}, option 'expression': {found}"
        if found := cron.zone_problem(schedule.tz):
            return f"{owner}, option 'tz': {found}"
        if schedule.jitter_ms > JITTER_MS_MAX:
            return f"{owner}, option 'jitter': more than a day"
    return None


def planned(schedule: Schedule, now_ms: int, known: Plan | None, *, is_paused: bool = False) -> Plan:
    """Return the plan of a schedule that is registered now. `known` is its plan up to now, if it ticked alike."""
    if known is not None:
        return replace(known, schedule=schedule)
    return Plan(schedule, None if is_paused else next_tick_ms(schedule, now_ms), is_paused)


def paused(plan: Plan) -> Plan:
    """Return a plan whose ticks do nothing."""
    return replace(plan, is_paused=True, next_at_ms=None)


def resumed(plan: Plan, now_ms: int) -> Plan:
    """Return a plan that goes on with the first tick from now."""
    return replace(plan, is_paused=False, next_at_ms=next_tick_ms(plan.schedule, now_ms))


def is_same(one: Schedule, other: Schedule) -> bool:
    """Tell whether two schedules tick at the same moments."""
    return _identity(one) == _identity(other)


def next_tick_ms(schedule: Schedule, after_ms: int) -> int | None:
    """Return the first tick of a schedule after a moment."""
    return cron.next_tick_ms(schedule.expression, schedule.tz, after_ms)


def ticks_from(schedule: Schedule, after_ms: int, count: int) -> list[int]:
    """Return the first ticks after a moment."""
    return list(islice(cron.ticks_ms(schedule.expression, schedule.tz, after_ms), count))


def fires_at_ms(function: str, schedule: Schedule, tick_ms: int) -> int:
    """Return when a tick is fired: up to the jitter later, always the same for one tick."""
    if not schedule.jitter_ms:
        return tick_ms
    digest = blake2b(msgspec.msgpack.encode((function, _identity(schedule), tick_ms)), digest_size=8).digest()
    return tick_ms + int.from_bytes(digest, "big") % (schedule.jitter_ms + 1)


def due(function: str, plan: Plan, now_ms: int) -> Due:
    """Return which ticks of a plan are to be fired now, and what comes after them."""
    if plan.next_at_ms is None:
        return Due((), None)
    ticks, rest, too_old = _arrived(function, plan, now_ms)
    in_time = [tick for tick in ticks if now_ms - fires_at_ms(function, plan.schedule, tick) <= LATE_MS]
    late = [tick for tick in ticks if tick not in in_time]
    made_up = _made_up(plan.schedule, late, in_time)
    chosen = sorted((*made_up, *in_time))
    missed, late_now = too_old + len(late) - len(made_up), min(len(made_up), FIRED_MAX)
    if len(chosen) > FIRED_MAX:
        return Due(tuple(chosen[:FIRED_MAX]), chosen[FIRED_MAX], missed, late_now)
    return Due(tuple(chosen), rest, missed, late_now)


def run_id(function: str, schedule: Schedule, tick_ms: int) -> str:
    """Return the id of the run that a tick starts: always the same, so that one tick is one run, whoever fires it."""
    return derived_id("run", f"tick:{function}", "\n".join(_identity(schedule)), tick_ms)


def event_of(function: str, schedule: Schedule, tick_ms: int) -> Event:
    """Return a tick as the event that starts the function."""
    # The calendar before a tick is asked for and not what was fired: a tick that is fired later says the same.
    before = cron.last_ticks_ms(schedule.expression, schedule.tz, tick_ms - 1, 1)
    data = {
        "at": cron.text_of(tick_ms, schedule.tz),
        "previous": cron.text_of(before[0], schedule.tz) if before else None,
    }
    id = derived_id("evt", f"tick:{function}", "\n".join(_identity(schedule)), tick_ms)
    return Event(id, TICK, msgspec.json.encode(data), tick_ms, 0, key=function)


def _made_up(schedule: Schedule, late: list[int], in_time: list[int]) -> list[int]:
    """Return those of the late ticks that are fired all the same."""
    match schedule.catch_up:
        case "all":
            return late
        case "last":
            return [] if in_time else late[-1:]
        case "none":
            return []


def _arrived(function: str, plan: Plan, now_ms: int) -> tuple[list[int], int | None, int]:
    """Return the ticks whose moment has come, the next one, and how many (at least) are too old to be made up for."""
    schedule, first = plan.schedule, plan.next_at_ms
    assert first is not None
    found: list[int] = []
    tick: int | None = first
    while tick is not None and fires_at_ms(function, schedule, tick) <= now_ms:
        found.append(tick)
        if len(found) > CATCH_UP_MAX:  # a year of minutes would take seconds to count
            newest = _newest(function, schedule, now_ms)
            return newest, next_tick_ms(schedule, newest[-1]), sum(tick < newest[0] for tick in found)
        tick = next_tick_ms(schedule, tick)
    return found, tick, 0


def _newest(function: str, schedule: Schedule, now_ms: int) -> list[int]:
    ticks = cron.last_ticks_ms(schedule.expression, schedule.tz, now_ms, CATCH_UP_MAX + 1)
    while fires_at_ms(function, schedule, ticks[-1]) > now_ms:
        ticks.pop()
    return ticks[-CATCH_UP_MAX:]


def _identity(schedule: Schedule) -> tuple[str, str]:
    return cron.ALIASES.get(schedule.expression, schedule.expression), schedule.tz
