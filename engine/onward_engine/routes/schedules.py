"""Schedules: when functions are started by the clock."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..commit import Refused
from ..rules import cron, schedules
from ..rules.events import BadEvent
from ..timetable import Planned
from .fields import Count, Moment, lines
from .parts import Parts
from .refusals import Refusal, problem_of
from .route import Asked, Nothing, Route

UNKNOWN = Refusal(404, "unknown_schedule", "The function has no such schedule.")
_TICKS_MAX = 100


class ScheduleQuery(Struct, frozen=True):
    """Which schedules."""

    function: Annotated[str, Meta(description="Of this function.")] = ""
    cursor: Annotated[str, Meta(description="What the page before this one gave.")] = ""
    limit: Count = 50


class ScheduleLine(Struct, frozen=True, kw_only=True):
    """A schedule. `number` is its place among those of its function. `next_at_ms` is its next tick, `fires_at_ms` when
    that one is fired; null: never, or not while it is paused. `skipped` ticks found the run of the last one still going
    on; `missed` ones were not fired in time, and not made up for.
    """

    function: str
    number: int
    expression: str
    tz: str
    jitter_ms: int
    overlap: Literal["allow", "skip", "cancel"]
    catch_up: Literal["none", "last", "all"]
    paused: bool
    next_at_ms: int | None
    fires_at_ms: int | None
    last_at_ms: int | None
    last_run: str | None
    skipped: int
    missed: int


class ScheduleList(Struct, frozen=True):
    """Schedules, by function. The cursor asks for the next page; null: these were the last."""

    schedules: list[ScheduleLine]
    cursor: str | None


class TickQuery(Struct, frozen=True):
    """Which ticks."""

    after_ms: Annotated[Moment | None, Meta(description="Behind this moment; without one, from now on.")] = None
    limit: Count = 10


class TickLine(Struct, frozen=True):
    """A tick, and the same moment as text in the schedule's time zone."""

    at_ms: int
    at: str


class TickList(Struct, frozen=True):
    """Ticks, in order."""

    ticks: list[TickLine]


class BackfillBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The ticks from a moment (inclusive) until another (exclusive), up to now; at most 1,000."""

    from_ms: Moment
    until_ms: Moment
    dry_run: Annotated[bool, Meta(description="Only tell what would be started.")] = False


class BackfillLine(Struct, frozen=True):
    """The run of a tick. `new`: it was started now, or with `dry_run` would be; otherwise there was one before."""

    at_ms: int
    at: str
    run: str
    new: bool


class BackfillList(Struct, frozen=True):
    """Ticks of the past with their runs, in order."""

    ticks: list[BackfillLine]


async def list_schedules(parts: Parts, asked: Asked[ScheduleQuery, Nothing]) -> ScheduleList:
    """List schedules."""
    limit = lines(asked.query.limit)
    found = await parts.timetable.page(asked.query.function, asked.query.cursor, limit)
    is_more = len(found) >= limit and not asked.query.function
    return ScheduleList([_line(one) for one in found], found[-1].function if is_more else None)


async def show_schedule(parts: Parts, asked: Asked[Nothing, Nothing]) -> ScheduleLine:
    """Show a schedule."""
    return _line(await _asked(parts, asked.path))


async def list_ticks(parts: Parts, asked: Asked[TickQuery, Nothing]) -> TickList:
    """List what comes next."""
    one = await _asked(parts, asked.path)
    ticks = parts.timetable.ticks(one, asked.query.after_ms, lines(asked.query.limit, _TICKS_MAX))
    return TickList([TickLine(tick, cron.text_of(tick, one.plan.schedule.tz)) for tick in ticks])


async def pause_schedule(parts: Parts, asked: Asked[Nothing, Nothing]) -> ScheduleLine:
    """Let a schedule rest."""
    return await _held(parts, asked.path, is_paused=True)


async def resume_schedule(parts: Parts, asked: Asked[Nothing, Nothing]) -> ScheduleLine:
    """Let a schedule tick again."""
    return await _held(parts, asked.path, is_paused=False)


async def backfill_schedule(parts: Parts, asked: Asked[Nothing, BackfillBody]) -> BackfillList:
    """Make up for ticks of the past."""
    one, body = await _asked(parts, asked.path), asked.body
    try:
        done = await parts.timetable.backfill(one, body.from_ms, body.until_ms, is_dry=body.dry_run)
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error
    tz = one.plan.schedule.tz
    return BackfillList(
        [BackfillLine(tick.tick_ms, cron.text_of(tick.tick_ms, tz), tick.run, tick.is_new) for tick in done]
    )


async def _held(parts: Parts, path: dict[str, str], *, is_paused: bool) -> ScheduleLine:
    one = await _asked(parts, path)
    try:
        await parts.timetable.hold(one, is_paused=is_paused)
    except Refused as error:
        raise problem_of(error) from error
    return _line(await _asked(parts, path))


async def _asked(parts: Parts, path: dict[str, str]) -> Planned:
    function, number = f"{path['app']}/{path['name']}", path["number"]
    one = await parts.timetable.get(function, int(number)) if number.isdecimal() and len(number) < 4 else None
    if one is None:
        raise UNKNOWN.problem(f"There is no schedule {number} of a function {function!r}.")
    return one


def _line(one: Planned) -> ScheduleLine:
    plan, schedule = one.plan, one.plan.schedule
    return ScheduleLine(
        function=one.function,
        number=one.number,
        expression=schedule.expression,
        tz=schedule.tz,
        jitter_ms=schedule.jitter_ms,
        overlap=schedule.overlap,
        catch_up=schedule.catch_up,
        paused=plan.is_paused,
        next_at_ms=plan.next_at_ms,
        fires_at_ms=None if plan.next_at_ms is None else schedules.fires_at_ms(one.function, schedule, plan.next_at_ms),
        last_at_ms=plan.last_at_ms or None,
        last_run=plan.last_run or None,
        skipped=plan.skipped,
        missed=plan.missed,
    )


_ONE = "/v1/schedules/{app}/{name}/{number}"

ROUTES = (
    Route("GET", "/v1/schedules", list_schedules, "List schedules."),
    Route("GET", _ONE, show_schedule, "Show a schedule.", refusals=(UNKNOWN,)),
    Route("GET", f"{_ONE}/ticks", list_ticks, "List the next ticks of a schedule.", refusals=(UNKNOWN,)),
    Route("POST", f"{_ONE}/pause", pause_schedule, "Let a schedule rest.", refusals=(UNKNOWN,)),
    Route("POST", f"{_ONE}/resume", resume_schedule, "Let a schedule tick again, from now on.", refusals=(UNKNOWN,)),
    Route(
        "POST",
        f"{_ONE}/backfill",
        backfill_schedule,
        "Start the runs of ticks of the past that have none; may be repeated.",
        refusals=(UNKNOWN,),
    ),
)
