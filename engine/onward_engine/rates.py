"""How often places of a limit are given back, as far as this engine has stored it: only for telling how long one waits.

In memory and bounded: of each key the newest moments, of the keys those that are used.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from .clock import Clock
from .commit import Committer
from .store.port import Notices

WINDOW_MS = 5 * 60_000
"""What was longer ago says nothing of now."""

MOMENTS_MAX = 32
MOMENTS_MIN = 3
"""Fewer are chance."""

KEYS_MAX = 10_000


class Rates:
    """Listens to commits."""

    def __init__(self, committer: Committer, clock: Clock) -> None:
        self._clock = clock
        self._moments: OrderedDict[str, deque[int]] = OrderedDict()
        committer.listen(self._committed)

    def per_ms(self, key: str) -> float | None:
        """Return how many places of a key are given back in a millisecond; None if there were too few to tell."""
        now_ms = self._clock.monotonic_ms()
        moments = [at_ms for at_ms in self._moments.get(key, ()) if at_ms > now_ms - WINDOW_MS]
        if len(moments) < MOMENTS_MIN:
            return None
        return (len(moments) - 1) / max(1, now_ms - moments[0])

    def _committed(self, notices: Notices) -> None:
        if notices.freed:
            now_ms = self._clock.monotonic_ms()
            for key in notices.freed:
                self._note(key, now_ms)

    def _note(self, key: str, now_ms: int) -> None:
        moments = self._moments.setdefault(key, deque(maxlen=MOMENTS_MAX))
        moments.append(now_ms)
        self._moments.move_to_end(key)
        if len(self._moments) > KEYS_MAX:
            self._moments.popitem(last=False)
