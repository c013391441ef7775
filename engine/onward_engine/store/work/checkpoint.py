"""One frame of a worker: stored whole, with everything that it causes, or not at all."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace
from onward_protocol.messages import (
    AttemptFailed,
    HandedBack,
    Outcome,
    Parked,
    Patched,
    Progress,
    Published,
    RunCancelled,
    RunCompleted,
    RunFailed,
    Seen,
    Sent,
    Started,
    StepDone,
    StepFailed,
    Tagged,
    TimerFired,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

from ...model import Run, Status
from ...rules import frames, lifecycle, losses
from ..port import Applied, ApplyCheckpoint
from . import endings, ingest, marks, ownership, starts, waits
from .context import Work

PLAIN = (StepDone, StepFailed, AttemptFailed, TimerFired, Seen, Published, Patched)
"""Entries that concern nobody but the worker: they are stored with the frame, and that is all."""


def apply_checkpoint(work: Work, op: ApplyCheckpoint) -> Applied:
    """Apply the run's next frame; answer any other one with what is stored."""
    run = work.tables.run(op.run)
    if run is None:
        return Applied("stale", 0, Status.CANCELLED, "the engine does not know this run")
    verdict = lifecycle.verdict(run, op.epoch, op.seq, op.instance)
    if verdict != "applied":
        return Applied(verdict, run.seq, run.status)
    run = ownership.take_back(work, run, op.instance, op.generation)
    try:
        run = _store(work, run, op)
    except frames.Refusal as refusal:
        return _refuse(work, run, op, refusal)
    for entry in op.entries:
        if not isinstance(entry, PLAIN):
            _act(work, work.run(op.run), entry)
    if op.outcome is not None:
        _stop(work, work.run(op.run), op.outcome)
        run = work.run(op.run)
    return Applied("applied", op.seq, run.status)


def _store(work: Work, run: Run, op: ApplyCheckpoint) -> Run:
    grown = frames.growth(run, op.entries, len(op.raw), work.limits, op.now_ms)
    frames.check_outcome(op.outcome, work.limits)
    run = replace(run, seq=op.seq, steps=grown.steps, state_bytes=grown.state_bytes, seen=grown.seen)
    if run.strikes and losses.is_progress(op.entries):
        run = replace(run, strikes=0)
    work.tables.put_run(run)
    if op.entries and not frames.is_for_people(op.entries):
        work.tables.add_frame(run, op.raw)
    return run


def _refuse(work: Work, run: Run, op: ApplyCheckpoint, refusal: frames.Refusal) -> Applied:
    """End the run in place of a frame that can never be accepted: skipped, it would be sent for ever."""
    failure = refusal.failure
    work.fence(run, failure.message)
    endings.fail(work, work.put(replace(run, seq=op.seq)), failure)
    return Applied("applied", op.seq, Status.FAILED, f"{failure.type}: {failure.message}")


def _act(work: Work, run: Run, entry: WorkerEntry) -> None:
    match entry:
        case WaitOpened():
            waits.open_wait(work, run, entry.key, entry.wait)
        case WaitClosed():
            waits.close_wait(work, run, entry.key)
        case Sent():
            ingest.send(work, run, entry.key, entry.events)
        case Started():
            _start(work, run, entry)
        case Tagged():
            marks.tag(work, run, entry.tags)
        case Progress():
            marks.show(work, run, entry.value)
        case _:
            pass


def _start(work: Work, run: Run, entry: Started) -> None:
    if waits.is_answered(work, run, entry.key):
        return
    child = starts.start_child(work, run, entry.key, entry.function, entry.input, attached=False)
    if child is None:
        waits.refuse(work, run, entry.key, "UnknownFunction", starts.unknown(entry.function))
    elif child.parent != run.id:
        waits.refuse(work, run, entry.key, "RunExists", starts.not_its_own(child))
    else:
        waits.answer(work, run, entry.key, child.id)


def _stop(work: Work, run: Run, outcome: Outcome) -> None:
    match outcome:
        case RunCompleted():
            endings.complete(work, run, outcome.output)
        case RunFailed():
            endings.fail(work, run, outcome.failure)
        case RunCancelled():
            endings.cancel(work, run, outcome.reason or run.cancel_reason or "")
        case Parked():
            endings.park(work, run)
        case HandedBack():
            endings.hand_back(work, run)
        case _:
            assert_never(outcome)
