"""A run's journal as people read it: one line for each step, wait and message, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from onward_protocol.messages import (
    Arrived,
    AttemptFailed,
    CallbackWait,
    CancelRequested,
    Due,
    EngineEntry,
    EventWait,
    Failed,
    Failure,
    Invoke,
    Published,
    Returned,
    Sent,
    SignalWait,
    Sleep,
    Started,
    StepDone,
    StepFailed,
    TimedOut,
    TimerFired,
    Wait,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
    WorkerLosses,
)

from ..model import StepView

OUTPUT_BYTES_MAX = 64 * 1024
"""Larger outputs are left out: nobody reads them on a screen, and decoding them costs seconds."""


def history(worker_entries: Iterable[WorkerEntry], engine_entries: Iterable[EngineEntry]) -> list[StepView]:
    """Return the lines in the order in which the worker began to report them, what only the engine knows at the end."""
    lines: dict[str, StepView] = {}
    for entry in worker_entries:
        if isinstance(entry, WaitOpened | WaitClosed):
            _note_wait(lines, entry)
        elif line := _line(entry):
            lines[line.key] = line
    for end in engine_entries:
        _note_end(lines, end)
    return list(lines.values())


def _line(entry: WorkerEntry) -> StepView | None:
    key = getattr(entry, "key", "")
    match entry:
        case StepDone():
            return StepView(key, "step", "completed", entry.attempts, entry.at_ms, entry.took_ms, _shown(entry.output))
        case StepFailed():
            return StepView(key, "step", "failed", entry.attempts, entry.at_ms, failure=entry.failure)
        case AttemptFailed():
            return StepView(key, "step", "retrying", entry.attempt, failure=entry.failure)
        case TimerFired():
            return StepView(key, "timer", "completed", at_ms=entry.at_ms)
        case Sent() | Started() | Published():
            return StepView(key, _MESSAGES[type(entry)], "completed")
        case _:
            return None


_MESSAGES: dict[type[WorkerEntry], str] = {Sent: "send", Started: "start", Published: "publish"}


def _note_wait(lines: dict[str, StepView], entry: WaitOpened | WaitClosed) -> None:
    if isinstance(entry, WaitOpened):
        lines.setdefault(entry.key, StepView(entry.key, _kind(entry.wait), "waiting"))
    elif entry.key in lines:
        lines[entry.key] = replace(lines[entry.key], status="closed")


def _note_end(lines: dict[str, StepView], entry: EngineEntry) -> None:
    match entry:
        case Due() | Arrived():
            _end(lines, entry.key, "completed", entry.at_ms)
        case Returned():
            _end(lines, entry.key, "completed", entry.at_ms, output=_shown(entry.value))
        case TimedOut():
            _end(lines, entry.key, "timed out", entry.at_ms)
        case Failed():
            _end(lines, entry.key, "failed", entry.at_ms, failure=entry.failure)
        case CancelRequested():
            lines[f"cancel {entry.pos}"] = StepView("cancel", "cancel", "requested", at_ms=entry.at_ms)
        case WorkerLosses():
            lines[f"losses {entry.pos}"] = StepView("losses", "losses", "failed", entry.losses, entry.at_ms)


def _end(
    lines: dict[str, StepView],
    key: str,
    status: str,
    at_ms: int,
    output: bytes | None = None,
    failure: Failure | None = None,
) -> None:
    line = lines.get(key, StepView(key, "wait", status))
    if line.status != "closed":
        lines[key] = replace(line, status=status, at_ms=at_ms, output=output, failure=failure)


def _kind(wait: Wait) -> str:
    match wait:
        case Sleep():
            return "sleep"
        case EventWait():
            return "event"
        case SignalWait():
            return "signal"
        case CallbackWait():
            return "callback"
        case Invoke():
            return "invoke"


def _shown(output: bytes) -> bytes | None:
    return output if len(output) <= OUTPUT_BYTES_MAX else None
