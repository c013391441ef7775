"""When a schedule ticks, in the time of its zone.

Ticks at fixed hours follow the wall clock: one that falls into the hour that is left out in spring comes right after
it, and one in the hour that is repeated in autumn comes once, the first time. Ticks of every hour or minute follow the
time that passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(hours=3)  # more than any clock change
_LAST_MS = 1 << 47  # in the year 6429; calendars end with 9999, and a schedule looks 50 years ahead


def zone_problem(tz: str) -> str | None:
    """Say why there is no such time zone; None if there is."""
    try:
        _zone(tz)
    except (ValueError, OSError):  # `ZoneInfoNotFoundError` is a `KeyError`, see below
        return f"there is no time zone {tz!r}"
    except KeyError:
        return f"this engine knows no time zone {tz!r}; are its tz data installed?"
    return None


def expression_problem(expression: str) -> str | None:
    """Say why this is no schedule; None if it is one."""
    if expression not in ALIASES and len(expression.split()) != len(ALIASES["@daily"].split()):
        return f"{expression!r} has not the five fields minute, hour, day of month, month and day of week"
    try:
        next(_ticks(expression, _SOME_DAY))
    except CronSimError as error:
        return f"{expression!r} is no schedule: {str(error)[:1].lower()}{str(error)[1:]}"
    except StopIteration:
        return f"{expression!r} never comes"
    return None


def next_tick_ms(expression: str, tz: str, after_ms: int) -> int | None:
    """Return the first tick after a moment; None if there is none within 50 years."""
    return next(ticks_ms(expression, tz, after_ms), None)


def ticks_ms(expression: str, tz: str, after_ms: int) -> Iterator[int]:
    """Return the ticks after a moment, in order, each once."""
    if after_ms > _LAST_MS:
        return
    last_ms = after_ms
    for tick in _ticks(expression, _moment(after_ms, tz)):
        tick_ms = round(tick.timestamp() * 1000)
        # In the hour that is repeated, the wall clock of a tick may show a time that was over before it began.
        if tick_ms > last_ms:
            yield tick_ms
            last_ms = tick_ms


def last_ticks_ms(expression: str, tz: str, until_ms: int, count: int) -> list[int]:
    """Return the last ticks up to a moment, at most `count`, oldest first."""
    backwards = CronSim(_five(expression), _moment(until_ms, tz) + timedelta(seconds=1), reverse=True)
    earliest = min(islice(backwards, count), default=None)
    if earliest is None:
        return []
    found: list[int] = []
    for tick_ms in ticks_ms(expression, tz, round((earliest - _MARGIN).timestamp() * 1000)):
        if tick_ms > until_ms:
            break
        found.append(tick_ms)
    return found[-count:]


def text_of(tick_ms: int, tz: str) -> str:
    """Return a tick as text, with the offset of its zone."""
    return _moment(tick_ms, tz).isoformat(timespec="seconds")


def _ticks(expression: str, after: datetime) -> Iterator[datetime]:
    return CronSim(_five(expression), after)


def _five(expression: str) -> str:
    return ALIASES.get(expression, expression)


def _moment(at_ms: int, tz: str) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(_zone(tz))


@lru_cache(maxsize=256)
def _zone(tz: str) -> tzinfo:
    return UTC if tz == "UTC" else ZoneInfo(tz)
