"""A run's journal as people read it: one line for each step, wait and message, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from onward_protocol.messages import (
    OPEN_MARK,
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
    Patched,
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

WAIT = "wait"
"""What a wait is called whose beginning stands in earlier rows: those tell its kind."""


class History:
    """The lines of consecutive rows of a journal, in the order in which what they tell of began.

    What began before these rows has a line here too as soon as they tell of it: its newest.
    """

    def __init__(self) -> None:
        self._lines: dict[str, StepView] = {}
        self._sleeps: dict[str, int] = {}  # how long they take

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    @property
    def lines(self) -> tuple[StepView, ...]:
        """What there is up to now."""
        return tuple(self._lines.values())

    def note_frame(self, entries: Iterable[WorkerEntry]) -> None:
        """Add what a worker reported."""
        for entry in entries:
            if isinstance(entry, WaitOpened | WaitClosed):
                _note_wait(self._lines, entry)
                if isinstance(entry, WaitOpened) and isinstance(entry.wait, Sleep) and not entry.wait.until_at_ms:
                    self._sleeps[entry.key] = entry.wait.ms
            elif line := _line(entry):
                earlier = self._lines.get(line.key)
                self._lines[line.key] = line if earlier is None else _later(earlier, line)

    def note_ends(self, entries: Iterable[EngineEntry]) -> None:
        """Add what the engine wrote."""
        for entry in entries:
            if not getattr(entry, "key", "").endswith(OPEN_MARK):  # that a callback stands is no news: it waits
                _note_end(self._lines, entry)
                if isinstance(entry, Due) and entry.key in self._sleeps:
                    began_at_ms = entry.at_ms - self._sleeps.pop(entry.key)
                    self._lines[entry.key] = replace(self._lines[entry.key], began_at_ms=began_at_ms)


def _later(earlier: StepView, line: StepView) -> StepView:
    """A step began when its first attempt did."""
    return replace(line, began_at_ms=earlier.began_at_ms) if earlier.began_at_ms else line


def _line(entry: WorkerEntry) -> StepView | None:  # noqa: PLR0911 - a line for each kind of entry
    key = getattr(entry, "key", "")
    match entry:
        case StepDone():
            began_at_ms = max(0, entry.at_ms - entry.took_ms)
            output = _shown(entry.output)
            return StepView(
                key, "step", "completed", entry.attempts, entry.at_ms, entry.took_ms, output, None, began_at_ms
            )
        case StepFailed():
            return StepView(key, "step", "failed", entry.attempts, entry.at_ms, failure=entry.failure)
        case AttemptFailed():
            began_at_ms = entry.began_at_ms
            return StepView(key, "step", "retrying", entry.attempt, failure=entry.failure, began_at_ms=began_at_ms)
        case TimerFired():
            return StepView(key, "timer", "completed", at_ms=entry.at_ms)
        case Patched():
            return StepView(key, "patch", "completed", output=b"\xc3" if entry.is_on else b"\xc2")  # as MessagePack
        case Sent() | Started() | Published():
            return StepView(key, _MESSAGES[type(entry)], "completed")
        case _:
            return None


_MESSAGES: dict[type[WorkerEntry], str] = {Sent: "send", Started: "start", Published: "publish"}


def _note_wait(lines: dict[str, StepView], entry: WaitOpened | WaitClosed) -> None:
    if isinstance(entry, WaitOpened):
        line = StepView(entry.key, _kind(entry.wait), "waiting", about=_about(entry.wait))
        lines.setdefault(entry.key, line)
    else:
        lines[entry.key] = replace(lines.get(entry.key, StepView(entry.key, WAIT, "")), status="closed")


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
            lines["cancel"] = StepView("cancel", "cancel", "requested", at_ms=entry.at_ms)
        case WorkerLosses():
            lines["losses"] = StepView("losses", "losses", "failed", entry.losses, entry.at_ms)


def _end(
    lines: dict[str, StepView],
    key: str,
    status: str,
    at_ms: int,
    output: bytes | None = None,
    failure: Failure | None = None,
) -> None:
    line = lines.get(key, StepView(key, WAIT, status))
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


def _about(wait: Wait) -> str:
    match wait:
        case EventWait():
            return wait.event
        case SignalWait():
            return wait.name
        case Invoke():
            return wait.function
        case _:
            return ""


def _shown(output: bytes) -> bytes | None:
    return output if len(output) <= OUTPUT_BYTES_MAX else None
