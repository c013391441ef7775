"""When a run's finished results leave the worker, and when the run itself does. Pure: the time comes from outside."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from onward_protocol.messages import StepDone, StepFailed, TimerFired

from onward.checkpoint import Checkpoint

BUFFER_BYTES_MAX: Final = 128 * 1024
"""Results of so many bytes leave at once, however few they are: a frame of twice the size would travel in parts."""

HOLD_MS_MAX: Final = 10_000
"""A run that is to leave starts nothing for at most so long while its running steps end. One of them may wait for what
another branch of the run would do next, so that without an end to this nothing would ever move again.
"""

NOW: Final = 0

Verdict: TypeAlias = Literal["go on", "hold", "leave"]


class Buffer:
    """Results that are finished and not sent."""

    __slots__ = ("_bytes", "_count", "_interval_ms", "_steps_max", "send_at_ms")

    def __init__(self, steps_max: int, interval_ms: int) -> None:
        self.send_at_ms: int | None = None
        """When they have to leave: `NOW`, a later moment, or None for as soon as something else is sent."""
        self._steps_max = steps_max
        self._interval_ms = interval_ms
        self._count = 0
        self._bytes = 0

    def put(self, entry: StepDone | StepFailed | TimerFired, now_ms: int) -> None:
        """Add one. A failure leaves at once: all attempts of the step would have to be made again, pauses included."""
        self._count += 1
        if isinstance(entry, StepDone):
            self._bytes += len(entry.output)
        if self._count >= self._steps_max or self._bytes >= BUFFER_BYTES_MAX or isinstance(entry, StepFailed):
            self.send_at_ms = NOW
        elif self._count == 1 and self._interval_ms:
            self.send_at_ms = now_ms + self._interval_ms

    def clear(self) -> None:
        """They have been sent."""
        self.send_at_ms = None
        self._count = 0
        self._bytes = 0


class Stay:
    """Whether a run goes on here, `limit_ms` after it got its slot.

    It leaves only between two steps, never while a timer of its own code runs, which would begin anew elsewhere, and
    never without a result that it did not bring along: a replay alone may take longer than the limit.
    """

    __slots__ = ("_has_patience", "_limit_ms", "_results", "_since_ms")

    def __init__(self, limit_ms: int) -> None:
        self._limit_ms = limit_ms
        self._since_ms = 0
        self._results = 0
        self._has_patience = True

    def begin(self, now_ms: int, results: int) -> None:
        """The run gets a slot, with so many results recorded since it is here."""
        self._since_ms = now_ms
        self._results = results

    def lose_patience(self) -> None:
        """Hold nothing back any more: the steps that run have not ended within `HOLD_MS_MAX`."""
        self._has_patience = False

    def verdict(self, now_ms: int, results: int, *, is_busy: bool, has_timers: bool) -> Verdict:
        """Say what becomes of a run that is about to start a step. `is_busy` while others of its steps execute."""
        is_over = now_ms - self._since_ms >= self._limit_ms
        if not is_over or results == self._results or has_timers:
            return "go on"
        if is_busy:
            return "hold" if self._has_patience else "go on"
        return "leave"


def buffer_of(checkpoint: Checkpoint) -> Buffer | None:
    """Return where results wait; None if each is sent at once."""
    if checkpoint.buffered_steps == 1:
        return None
    return Buffer(checkpoint.buffered_steps, checkpoint.max_interval_ms)


def stay_of(checkpoint: Checkpoint) -> Stay | None:
    """Return how long a run stays; None if for as long as it likes."""
    limit_ms = checkpoint.max_runtime_ms
    return Stay(limit_ms) if limit_ms or checkpoint.is_off else None
