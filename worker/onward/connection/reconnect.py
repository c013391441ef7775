"""When to dial again.

A restarted engine should have its workers back within a moment, and must survive that all of them come at once. So an
outage begins with one attempt without delay, goes on with short random pauses for a few seconds (most outages are
restarts), and then spreads the attempts ever wider, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onward_protocol.limits import Times

RETRY_AFTER_MS_MAX = 300_000  # a peer's mistake must not keep a worker away for a day
STEADY_MS = 1_000  # a session that ends sooner is no new outage: a flapping engine is not dialled without pause
SPREAD_MS_MIN = 1_000


@dataclass(slots=True)
class Reconnect:
    """The pauses between the attempts of one worker. `uniform(low, high)` is the only randomness."""

    uniform: Callable[[float, float], float]
    times: Times
    _outage_at_ms: int | None = None
    _connected_at_ms: int | None = None
    _spread_ms: int = SPREAD_MS_MIN

    def connected(self, now_ms: int) -> None:
        """Note that a session was established."""
        self._connected_at_ms = now_ms

    def pause_ms(self, now_ms: int, retry_after_ms: int | None = None) -> int:
        """Return how long to wait before the next attempt: at least what the engine asked for (`retry_after_ms`)."""
        self._forget_outage(now_ms)
        if retry_after_ms is not None:
            asked_ms = min(self._pick(retry_after_ms, retry_after_ms * 5 / 4), RETRY_AFTER_MS_MAX)
            return max(asked_ms, self._eager_ms())  # "Retry-After: 0" would be dialled in a circle
        if self._outage_at_ms is None:
            self._outage_at_ms = now_ms
            return 0
        if now_ms - self._outage_at_ms < self.times.reconnect_eager_ms:
            return self._eager_ms()
        self._spread_ms = min(2 * self._spread_ms, self.times.reconnect_cap_ms)
        return self._pick(0, self._spread_ms)

    def _forget_outage(self, now_ms: int) -> None:
        if self._connected_at_ms is not None and now_ms - self._connected_at_ms >= STEADY_MS:
            self._outage_at_ms, self._spread_ms = None, SPREAD_MS_MIN
        self._connected_at_ms = None

    def _eager_ms(self) -> int:
        return self._pick(self.times.reconnect_min_ms, self.times.reconnect_max_ms)

    def _pick(self, low: float, high: float) -> int:
        return round(self.uniform(low, high))
