"""The database's time: one clock for all replicas."""

from __future__ import annotations

import time

_JUMP_MS = 1_000
_SAMPLE_MS_MAX = 1_000
"""A reading that took longer says too little about now."""


class DatabaseClock:
    """Implements `Clock`, and `MovableClock` for tests. It follows the server's clock from reading to reading, and its
    own steps in between.

    A reading that is a little behind makes it stand still instead of going back; a jump of the server's clock, it
    follows.
    """

    def __init__(self) -> None:
        """Begin with the machine's time, until the first reading."""
        self._offset_ms = time.time_ns() // 1_000_000 - self.monotonic_ms()
        self._last_ms = 0
        self._ahead_ms = 0

    def advance(self, ms: int) -> None:
        """Move the time of day. Other engines on this database do not hear of it."""
        self._ahead_ms += ms

    def monotonic_ms(self) -> int:
        """Return the machine's monotonic time."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Return the server's time of day, as far as it is known here."""
        self._last_ms = max(self._last_ms, self.monotonic_ms() + self._offset_ms)
        return self._last_ms + self._ahead_ms

    def note(self, server_ms: int, asked_ms: int, answered_ms: int) -> None:
        """Note what the server's clock said between two moments of the monotonic one."""
        if answered_ms - asked_ms > _SAMPLE_MS_MAX:
            return
        self._offset_ms = server_ms - (asked_ms + answered_ms) // 2
        if self._last_ms - (answered_ms + self._offset_ms) > _JUMP_MS:
            self._last_ms = 0
