"""Time and chance, injected: whoever starts an engine decides what it sees as the time and where its ids come from."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from onward_protocol.ids import RANDOM_BYTES, Prefix, uuid7_id

RandomBytes = Callable[[int], bytes]


class Clock(Protocol):
    """Both readings are integer milliseconds. Waiting itself is the event loop's, which has to agree with
    `monotonic_ms`.
    """

    def monotonic_ms(self) -> int:
        """Return a time that never jumps: for leases, silences and patience."""
        ...

    def wall_ms(self) -> int:
        """Return the time of day since the epoch: for timers and what people read."""
        ...


JUMP_MS = 60_000
"""A correction up to this size is followed at once: a machine that asks for the time is set right by less."""


class SystemClock:
    """The machine's clock. When its time of day jumps, this one goes on as before until it is told to follow."""

    def __init__(self) -> None:
        """Begin with the machine's time of day."""
        self._offset_ms = self._system_ms() - self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Return the machine's monotonic time."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Return the time of day."""
        drift_ms = self._drift_ms()
        if -JUMP_MS <= drift_ms <= JUMP_MS:
            self._offset_ms += drift_ms
        return self.monotonic_ms() + self._offset_ms

    def jump_ms(self) -> int:
        """Return how far the machine's time of day has jumped; 0 if it has not."""
        drift_ms = self._drift_ms()
        return 0 if -JUMP_MS <= drift_ms <= JUMP_MS else drift_ms

    def follow(self) -> None:
        """Take over the machine's time of day, however far it has jumped."""
        self._offset_ms += self._drift_ms()

    def _drift_ms(self) -> int:
        return self._system_ms() - self.monotonic_ms() - self._offset_ms

    def _system_ms(self) -> int:
        return time.time_ns() // 1_000_000


@runtime_checkable
class MovableClock(Protocol):
    """A clock whose time of day can be moved forward by hand, for tests of what waits for hours."""

    def advance(self, ms: int) -> None:
        """Move the time of day; the monotonic time goes on as before."""
        ...


class TestClock(SystemClock):
    """The machine's clock, with a time of day that can be moved. Implements `MovableClock`."""

    __test__ = False

    def __init__(self) -> None:
        """Begin with the machine's time of day."""
        super().__init__()
        self._ahead_ms = 0

    def wall_ms(self) -> int:
        """Return the machine's time of day, moved."""
        return super().wall_ms() + self._ahead_ms

    def advance(self, ms: int) -> None:
        """See `MovableClock`."""
        self._ahead_ms += ms


class LoopClock:
    """The running event loop's own time: under a loop with virtual time the engine lives in that time."""

    def __init__(self, start_wall_ms: int) -> None:
        """`start_wall_ms` is the time of day at this moment; both readings then move with the running loop."""
        self._start_wall_ms = start_wall_ms
        self._start_ms = self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Return the loop's time."""
        # The small addition undoes the error of binary fractions: a timer set for 1,250 ms must not fire at 1,249.
        return int(asyncio.get_running_loop().time() * 1000 + 1e-4)

    def wall_ms(self) -> int:
        """Return the time of day of this loop."""
        return self._start_wall_ms + self.monotonic_ms() - self._start_ms


class Ids:
    """All ids and secrets that an engine makes."""

    def __init__(self, clock: Clock, random_bytes: RandomBytes = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self.replica: str = random_bytes(8).hex()
        """The id of this engine, as long as it runs."""
        self._claims = itertools.count(1)

    def new(self, prefix: Prefix) -> str:
        """Return a new id that sorts by time."""
        return uuid7_id(prefix, self._clock.wall_ms(), self._random_bytes(RANDOM_BYTES))

    def claim(self) -> str:
        """Return an id for one claim; unique over all engines, and cheap."""
        return f"{self.replica}.{next(self._claims)}"

    def secret(self) -> str:
        """Return 256 bits that nobody can guess, in hex."""
        return self._random_bytes(32).hex()
