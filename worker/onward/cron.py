"""Schedules: functions that the clock starts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct
from onward_protocol import messages

from onward.durations import DAY_MS, Duration, duration_ms
from onward.errors import ConfigError
from onward.trigger import TICK, Source, Trigger
from onward.values.names import check_text

Overlap = Literal["allow", "skip", "cancel"]
CatchUp = Literal["none", "last", "all"]

_ALIASES: Final = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_FIELD: Final = re.compile(r"[0-9A-Za-z*,/#-]+")
_ZONE: Final = re.compile(r"[\w+./-]+", re.ASCII)
_PREFIX: Final = "TZ="


class Tick(Struct, frozen=True):
    """A moment at which a schedule starts its function, and the one before it in the calendar. Both have the offset of
    the schedule's time zone.
    """

    at: datetime
    previous: datetime | None = None


class Cron(Trigger[Tick]):
    """A schedule in the five fields of cron: minute, hour, day of month, month, day of week; or "@daily" and the like.

    `tz` is the name of a time zone; "TZ=Europe/Berlin 0 3 * * *" says it too. Each tick comes up to `jitter` later,
    always the same for one tick. `overlap` is for ticks that come while the run of the last one goes on: start it all
    the same, "skip" it, or "cancel" the run. `catch_up` is for ticks that nobody could start in time, because the
    engine was down: "none" of them, the "last" one, or "all", up to a thousand.
    """

    def __init__(
        self,
        expression: str,
        *,
        tz: str = "",
        jitter: Duration = 0,
        overlap: Overlap = "allow",
        catch_up: CatchUp = "last",
    ) -> None:
        owner = f"Cron({expression!r})"
        check_text(f"{owner}, option 'expression'", expression)
        check_text(f"{owner}, option 'tz'", tz)
        fields, zone = _split(owner, expression, tz)
        _check_fields(owner, fields)
        _check_choice(owner, "overlap", overlap, ("allow", "skip", "cancel"))
        _check_choice(owner, "catch_up", catch_up, ("none", "last", "all"))
        schedule = messages.Schedule(" ".join(fields), zone, _jitter_ms(owner, jitter), overlap, catch_up)
        super().__init__(Source(TICK, Tick, schedule=schedule))
        self.schedule: Final = schedule

    def __repr__(self) -> str:
        return f"Cron({self.schedule.expression!r}, tz={self.schedule.tz!r})"


def _split(owner: str, expression: str, tz: str) -> tuple[list[str], str]:
    """Return the fields and the time zone, wherever that is said."""
    fields = expression.split()
    if fields and fields[0].startswith(_PREFIX):
        if tz:
            raise _wrong(owner, "tz", "the expression names a time zone as well")
        tz = fields.pop(0)[len(_PREFIX) :]
        if not tz:
            raise _wrong(owner, "tz", "nothing follows 'TZ='")
    if tz and not _ZONE.fullmatch(tz):
        raise _wrong(owner, "tz", f"{tz!r} is not the name of a time zone")
    return fields, tz or "UTC"


def _check_fields(owner: str, fields: list[str]) -> None:
    """Find what cannot be cron at all. What the fields mean is for the engine to say, when the worker registers."""
    if len(fields) == 1 and fields[0].startswith("@"):
        if fields[0] not in _ALIASES:
            raise _wrong(owner, "expression", f"there is no {fields[0]}, but {', '.join(sorted(_ALIASES))}")
        return
    if len(fields) != len(_FIELDS):
        raise _wrong(owner, "expression", f"it has {len(fields)} fields, not the five {', '.join(_FIELDS)}")
    for name, field in zip(_FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(field):
            raise _wrong(owner, "expression", f"{field!r} is no {name}")


def _check_choice(owner: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise _wrong(owner, option, f"{value!r} is none of {', '.join(choices)}")


def _jitter_ms(owner: str, jitter: Duration) -> int:
    try:
        ms = duration_ms(jitter)
    except ValueError as error:
        raise ConfigError(f"{owner}, option 'jitter': {error}.", code="E0104") from error
    if ms > DAY_MS:
        raise ConfigError(f"{owner}, option 'jitter': {jitter!r} is more than a day.", code="E0105")
    return ms


def _wrong(owner: str, option: str, why: str) -> ConfigError:
    return ConfigError(f"{owner}, option '{option}': {why}.", code="E0121")
