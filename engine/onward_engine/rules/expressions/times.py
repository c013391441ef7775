"""Moments and spans of time, in nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

NANOS = 10**9

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_S = 253_402_300_799  # 9999-12-31T23:59:59Z
_SPAN_S_MAX = 315_576_000_000  # ten thousand years

_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_SPAN = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:h|m|s|ms|us|ns))+)", re.ASCII)
_PART = re.compile(r"(\d*)\.?(\d*)(h|ms|m|s|us|ns)", re.ASCII)
_UNITS = {"h": 3600 * NANOS, "m": 60 * NANOS, "s": NANOS, "ms": 10**6, "us": 10**3, "ns": 1}


class Timestamp(Struct, frozen=True, order=True):
    """A moment, counted from 1970 in UTC."""

    nanos: int


class Duration(Struct, frozen=True, order=True):
    """A span of time."""

    nanos: int


def timestamp(nanos: int) -> Timestamp | None:
    """Return a moment; None outside of the years 1 to 9999."""
    return Timestamp(nanos) if _FIRST_S * NANOS <= nanos < (_LAST_S + 1) * NANOS else None


def duration(nanos: int) -> Duration | None:
    """Return a span; None for more than ten thousand years."""
    return Duration(nanos) if abs(nanos) <= _SPAN_S_MAX * NANOS else None


def read_timestamp(text: str) -> Timestamp | None:
    """Read `2026-01-31T08:00:00Z` or with an offset; None for anything else."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    fraction, sign, hours, minutes = found[7] or "", found[8], int(found[9] or 0), int(found[10] or 0)
    if hours > 23 or minutes > 59:
        return None
    try:
        local = datetime(*(int(found[part]) for part in range(1, 7)), tzinfo=UTC)  # type: ignore[misc,arg-type] # pyright: ignore[reportArgumentType]
    except ValueError:
        return None
    seconds = (local - _EPOCH) // timedelta(seconds=1)
    offset_s = (hours * 3600 + minutes * 60) * (-1 if sign == "-" else 1)
    return timestamp((seconds - offset_s) * NANOS + int(fraction[:9].ljust(9, "0")))


def read_duration(text: str) -> Duration | None:
    """Read `1h30m`, `250ms`, `-1.5s`; None for anything else."""
    if text in {"0", "+0", "-0"}:
        return Duration(0)
    found = _SPAN.fullmatch(text)
    if found is None or len(text) > 100:
        return None
    nanos = sum(_part_nanos(*part) for part in _PART.findall(found[2]))
    return duration(-nanos if found[1] == "-" else nanos)


def write_timestamp(moment: Timestamp) -> str:
    """Return the text of a moment, in UTC."""
    seconds, nanos = divmod(moment.nanos, NANOS)
    whole = (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
    return f"{whole}{_fraction(nanos)}Z"


def write_duration(span: Duration) -> str:
    """Return the text of a span, in seconds."""
    seconds, nanos = divmod(abs(span.nanos), NANOS)
    return f"{'-' if span.nanos < 0 else ''}{seconds}{_fraction(nanos)}s"


def _fraction(nanos: int) -> str:
    """Return three, six or nine digits behind a point, and none of nothing."""
    digits = f"{nanos:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def _part_nanos(whole: str, fraction: str, unit: str) -> int:
    size = _UNITS[unit]
    return int(whole or 0) * size + (int(fraction) * size // 10 ** len(fraction) if fraction else 0)
