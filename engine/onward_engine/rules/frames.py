"""Whether a frame can be accepted, and what it adds to its run.

A frame that can never be accepted is not skipped: the run ends with the failure named here, in place of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Draft,
    Failure,
    Outcome,
    RunCompleted,
    Seen,
    Sent,
    StepDone,
    StepFailed,
    WaitOpened,
    WorkerEntry,
)

from ..model import Run
from . import events, waits


class Growth(Struct, frozen=True):
    """A run's counters after a frame."""

    steps: int
    state_bytes: int
    seen: int


class Refusal(Exception):
    """The run fails with this."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(type, message)


def growth(run: Run, entries: Sequence[WorkerEntry], raw_bytes: int, limits: Limits, now_ms: int) -> Growth:
    """Return what the run has become with these entries. Raises `Refusal`."""
    steps, seen = run.steps, run.seen
    for entry in entries:
        if isinstance(entry, StepDone):
            steps += 1
            _check_output(entry.output, limits, f"the output of step {entry.key!r}")
        elif isinstance(entry, StepFailed):
            steps += 1
        elif isinstance(entry, Seen):
            seen = _next_mark(run, seen, entry.pos)
        else:
            _check_request(entry, limits, now_ms)
    state_bytes = run.state_bytes + raw_bytes
    if steps > limits.steps_per_run_max:
        raise Refusal("TooManySteps", f"more than {limits.steps_per_run_max:,} steps in one run")
    if state_bytes > limits.state_bytes_max:
        raise state_too_large(limits)
    return Growth(steps, state_bytes, seen)


def state_too_large(limits: Limits) -> Refusal:
    """Return why a run that is larger than a worker can be sent has to end."""
    return Refusal("StateTooLarge", f"the run's journal grew beyond {limits.state_bytes_max:,} bytes")


def check_outcome(outcome: Outcome | None, limits: Limits) -> None:
    """Raise `Refusal` for a result that is too large to keep."""
    if isinstance(outcome, RunCompleted):
        _check_output(outcome.output, limits, "the run's result")


def _next_mark(run: Run, seen: int, pos: int) -> int:
    if pos != seen + 1 or pos > run.pos:
        raise Refusal("BadMark", f"the worker marked engine entry {pos}; {seen + 1} is next and {run.pos} the last")
    return pos


def _check_request(entry: WorkerEntry, limits: Limits, now_ms: int) -> None:
    if isinstance(entry, WaitOpened):
        if not entry.key:
            raise Refusal("InvalidFrame", "a wait without a key")
        if problem := waits.problem(entry.wait, now_ms):
            raise Refusal("WaitTooLong", problem)
    elif isinstance(entry, Sent):
        for draft in entry.events:
            _check_event(draft, limits)


def _check_event(draft: Draft, limits: Limits) -> None:
    try:
        events.check(draft, limits)
    except events.BadEvent as bad:
        raise Refusal("PayloadTooLarge" if bad.too_large else "InvalidEvent", bad.message) from bad


def _check_output(output: bytes, limits: Limits, what: str) -> None:
    if len(output) > limits.output_bytes_max:
        raise Refusal("PayloadTooLarge", f"{what} has {len(output):,} bytes; {limits.output_bytes_max:,} are allowed")
