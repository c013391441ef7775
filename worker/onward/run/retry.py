"""Whether a failed attempt is followed by another, and when. Pure."""

from __future__ import annotations

from onward.config import Retry
from onward.errors import RetryAfter


def decide(policy: Retry, attempt: int, exc: BaseException, roll: float, spent_ms: int = 0) -> int | None:
    """Return the delay in milliseconds until the next attempt, or None if `attempt` (from 1) was the last.

    `roll` in [0, 1) is the caller's random number for the jitter, `spent_ms` the time since the first attempt began.
    """
    if attempt >= policy.attempts or not policy.covers(exc):
        return None
    delay_ms = exc.delay_ms if isinstance(exc, RetryAfter) else _backoff_ms(policy, attempt, roll)
    is_late = policy.max_time_ms is not None and spent_ms + delay_ms > policy.max_time_ms
    return None if is_late else delay_ms


def _backoff_ms(policy: Retry, attempt: int, roll: float) -> int:
    base = min(policy.backoff_ms * policy.factor ** (attempt - 1), policy.max_backoff_ms)
    return min(round(base * (1 + policy.jitter * roll)), policy.max_backoff_ms)
