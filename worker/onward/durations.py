"""Durations as people write them: `timedelta`, seconds as a number, or text such as "10m" and "4m45s"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, TypeAlias

Duration: TypeAlias = timedelta | float | str
"""A length of time; numbers are seconds."""

DAY_MS: Final = 86_400_000
SLEEP_MS_MAX: Final = 366 * DAY_MS
"""Longest sleep and wait: a year and a leap day. What is later belongs into a schedule."""

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_TEXT: Final = re.compile(rf"(?:{_PART.pattern})+")


def duration_ms(value: Duration) -> int:
    """Return `value` in milliseconds, rounded. Raises `ValueError` if it is no duration, negative, or not finite."""
    try:
        ms = _text_ms(value) if isinstance(value, str) else round(_seconds(value) * 1_000)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{value!r} is not a duration") from error
    if ms < 0:
        raise ValueError(f"the duration {value!r} is negative")
    return ms


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _text_ms(text: str) -> int:
    compact = text.replace(" ", "")
    if compact == "0":
        return 0
    if not _TEXT.fullmatch(compact):
        raise ValueError(f"{text!r} is not a duration")
    return round(sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(compact)))
