"""Whether a frame can be accepted, and what it adds to its run.

A frame that can never be accepted is not skipped: the run ends with the failure named here, in place of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from onward_protocol.ids import name_problem
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    CallbackWait,
    Draft,
    Failure,
    Outcome,
    Progress,
    RunCompleted,
    Seen,
    Sent,
    SignalWait,
    StepDone,
    StepFailed,
    Tagged,
    Wait,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

from ..model import Run
from . import events, waits
from .watches import is_reserved

TAGS_MAX = 32
TAG_BYTES_MAX = 256
"""Of a key and of a value. Each tag is a row in an index."""

PROGRESS_BYTES_MAX = 8 * 1024
"""It may be sent every second. A worker allows less: what it sends may have become longer on its way."""


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
    state_bytes = run.state_bytes + (0 if is_for_people(entries) else raw_bytes)
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
        _check_key(entry.key)
        _check_name(entry.wait)
        if problem := waits.problem(entry.wait, now_ms):
            raise Refusal("WaitTooLong", problem)
    elif isinstance(entry, WaitClosed):
        _check_key(entry.key)
    elif isinstance(entry, Sent):
        for draft in entry.events:
            _check_event(draft, limits, now_ms)
    elif isinstance(entry, Tagged):
        _check_tags(entry)
    elif isinstance(entry, Progress) and len(entry.value) > PROGRESS_BYTES_MAX:
        raise Refusal("PayloadTooLarge", f"progress has {len(entry.value):,} bytes; {PROGRESS_BYTES_MAX:,} are allowed")


def _check_name(wait: Wait) -> None:
    name = wait.name if isinstance(wait, SignalWait) else wait.token if isinstance(wait, CallbackWait) else None
    if name is not None and (problem := name_problem(name)):
        raise Refusal("InvalidFrame", f"the name of a signal, or a callback's token, {problem}")


def is_for_people(entries: Sequence[WorkerEntry]) -> bool:
    """Tell whether a frame says nothing that a replay needs: it is not kept, or a long run would be full of it."""
    return bool(entries) and all(isinstance(entry, Progress) for entry in entries)


def _check_tags(entry: Tagged) -> None:
    for text in (*entry.tags, *entry.tags.values()):
        if text and (problem := name_problem(text, TAG_BYTES_MAX)):
            raise Refusal("InvalidTag", f"a tag {problem}")
    if len(entry.tags) > TAGS_MAX or "" in entry.tags:
        raise Refusal("InvalidTag", f"{len(entry.tags)} tags, or one without a key; {TAGS_MAX} are allowed")


def _check_key(key: str) -> None:
    if is_reserved(key):
        raise Refusal("InvalidFrame", f"a wait under the key {key!a}, which is no worker's")


def _check_event(draft: Draft, limits: Limits, now_ms: int) -> None:
    try:
        events.check(draft, limits)
        events.check_due(draft.name, draft.due_at_ms, now_ms)
    except events.BadEvent as bad:
        raise Refusal("PayloadTooLarge" if bad.too_large else "InvalidEvent", bad.message) from bad


def _check_output(output: bytes, limits: Limits, what: str) -> None:
    if len(output) > limits.output_bytes_max:
        raise Refusal("PayloadTooLarge", f"{what} has {len(output):,} bytes; {limits.output_bytes_max:,} are allowed")
