"""Starts that are spread over time: the generic cell rate algorithm (ITU-T I.371, annex A).

All that counts of a key is the *theoretical arrival time* of the next start, in microseconds. A start is let through
if it comes at most `burst` - 1 intervals before that. So in a period begin at most `limit` + `burst` - 1 runs.
"""

from __future__ import annotations

from onward_protocol.messages import ThrottleRule

_US = 1000


def interval(rule: ThrottleRule, limit: int) -> int:
    """Return the time between two starts, in microseconds: rounded up, so that there are never too many."""
    return -(-rule.period_ms * _US // limit)


def adapted(arrival_us: int, begun_us: int, before_us: int, interval_us: int) -> int:
    """Return the arrival time after a start, as it would be if the interval that counts now had counted before."""
    if before_us in (0, interval_us):
        return arrival_us
    return begun_us - (begun_us - arrival_us) * interval_us // before_us


def tokens(rule: ThrottleRule, limit: int, arrival_us: int, now_ms: int) -> int:
    """Return how many runs may begin now."""
    interval_us = interval(rule, limit)
    early_us = now_ms * _US - _earliest_us(rule, interval_us, arrival_us)
    return min(rule.burst, early_us // interval_us + 1) if early_us >= 0 else 0


def consumed(rule: ThrottleRule, limit: int, arrival_us: int, now_ms: int) -> int:
    """Return the arrival time after one more start."""
    return max(arrival_us, now_ms * _US) + interval(rule, limit)


def next_at_ms(rule: ThrottleRule, limit: int, arrival_us: int, count: int) -> int:
    """Return from when on so many runs may begin: at least one, at most `burst` of them."""
    interval_us = interval(rule, limit)
    wanted = max(1, min(count, rule.burst))
    return -(-(_earliest_us(rule, interval_us, arrival_us) + (wanted - 1) * interval_us) // _US)


def begins_at_ms(rule: ThrottleRule, limit: int, arrival_us: int, number: int) -> int:
    """Return when the run begins that is the `number`-th from now on, if each begins as soon as it may."""
    interval_us = interval(rule, limit)
    return -(-(_earliest_us(rule, interval_us, arrival_us) + (number - 1) * interval_us) // _US)


def _earliest_us(rule: ThrottleRule, interval_us: int, arrival_us: int) -> int:
    return arrival_us - (rule.burst - 1) * interval_us
