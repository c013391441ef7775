"""A run's journal, put into the order in which user code saw it. Pure.

The worker's frames and the engine's own entries are stored side by side. A `Seen` mark in a frame says where an engine
entry entered the log; entries that no frame marks come last, because no recorded outcome can rest on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct, field
from onward_protocol.codec import decode_entries
from onward_protocol.messages import (
    AttemptFailed,
    Due,
    EngineEntry,
    Patched,
    Seen,
    Segment,
    Sent,
    StepDone,
    StepFailed,
    Tagged,
    TimerFired,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
    WorkerLosses,
)

from onward.errors import OnwardError

StepEntry: TypeAlias = StepDone | StepFailed
"""How a step ended."""
LogEntry: TypeAlias = StepEntry | TimerFired | Sent | Patched | EngineEntry
"""What can reach user code."""

RETRY_MARK: Final = "!"
"""Between a step's key and the number of the failed attempt: the key of the durable wait before the next one."""


class Journal(Struct):
    """What earlier residences left. `ordered` has a place in the log; `unseen`, by `pos`, still needs a mark.

    Both go into the log when the run starts; what stays here is only what has not been asked for.
    """

    ordered: list[LogEntry] = field(default_factory=list[LogEntry])
    unseen: list[EngineEntry] = field(default_factory=list[EngineEntry])
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    """Failed attempts of each step that has not ended."""
    began: dict[str, int] = field(default_factory=dict[str, int])
    """When the first of them began."""
    opened: set[str] = field(default_factory=set[str])
    closed: set[str] = field(default_factory=set[str])
    spent: list[str] = field(default_factory=list[str])
    """Keys of retry delays that no attempt waits for any more: a replay does not ask for them."""
    tagged: set[str] = field(default_factory=set[str])
    """Calls of `tag` that are stored."""
    inherited: list[int] = field(default_factory=list[int])
    """For each origin of a fork: up to which place in the log the entries are its own."""

    def take(self) -> list[LogEntry]:
        """Remove and return the entries in the order of the log, so that each is forgotten once it is delivered."""
        entries = [*self.ordered, *self.unseen]
        self.ordered, self.unseen = [], []
        return entries

    def has_open(self, key: str) -> bool:
        """Tell whether an earlier residence left the wait `key` open."""
        return key in self.opened and key not in self.closed

    def forget(self, key: str) -> None:
        """The wait `key` is over in this residence too."""
        self.opened.discard(key)
        self.closed.discard(key)


class Reader:
    """Puts a journal into the order of the log, as much of it at a time as the caller wants to wait for.

    Segments are forgotten as they are read: they take as much memory as what they hold.
    """

    def __init__(self, segments: Iterable[Segment], entries: Iterable[EngineEntry], origins: int = 0) -> None:
        self._journal = Journal(inherited=[0] * origins)
        self._unread = deque(segments)
        self._unmarked = {entry.pos: entry for entry in entries}

    def read(self, bytes_max: int | None = None) -> Journal | None:
        """Read on, about so much (None: to the end); return the journal once it is whole.

        Raises `OnwardError` if it contradicts itself, and `ProtocolError` if a segment cannot be decoded: no replay of
        it can be right.
        """
        size = 0
        while self._unread and (bytes_max is None or size < bytes_max):
            segment = self._unread.popleft()
            size += len(segment.entries)
            for entry in decode_entries(segment.entries):
                _add(self._journal, self._unmarked, entry)
            if segment.epoch <= len(self._journal.inherited):
                self._journal.inherited[segment.epoch - 1] = len(self._journal.ordered)
        return None if self._unread else self._whole()

    def _whole(self) -> Journal:
        journal = self._journal
        journal.unseen = [self._unmarked[pos] for pos in sorted(self._unmarked)]
        retries = [entry.key for entry in journal.ordered if isinstance(entry, Due) and RETRY_MARK in entry.key]
        if retries:
            ended = {entry.key for entry in journal.ordered if isinstance(entry, StepEntry)}
            journal.spent = [key for key in retries if _is_spent(journal, ended, key)]
        return journal


def read(segments: Iterable[Segment], entries: Iterable[EngineEntry]) -> Journal:
    """Return the journal at once; see `Reader`."""
    journal = Reader(segments, entries).read()
    assert journal is not None, "nothing is left to read"
    return journal


def retry_key(key: str, attempt: int) -> str:
    """Return the key of the wait that follows failed attempt `attempt` of the step `key`."""
    return f"{key}{RETRY_MARK}{attempt}"


def key_of(entry: LogEntry) -> str:
    """Return the key that the entry answers; empty for what concerns the whole run."""
    return getattr(entry, "key", "")


def _add(journal: Journal, unmarked: dict[int, EngineEntry], entry: WorkerEntry) -> None:
    match entry:
        case StepDone(key=key) | StepFailed(key=key):
            journal.ordered.append(entry)
            if journal.attempts:
                journal.attempts.pop(key, None)
                journal.began.pop(key, None)
        case Seen(pos=pos):
            if pos not in unmarked:
                raise OnwardError(
                    f"the journal marks entry {pos} of the engine, which is not there (or was marked before).",
                    code="E0316",
                )
            journal.ordered.append(unmarked.pop(pos))
        case AttemptFailed(key=key, attempt=attempt, began_at_ms=began_at_ms):
            journal.attempts[key] = max(attempt, journal.attempts.get(key, 0))
            journal.began[key] = began_at_ms
        case WaitOpened(key=key):
            journal.opened.add(key)
        case WaitClosed(key=key):
            journal.closed.add(key)
        case TimerFired() | Sent() | Patched():
            journal.ordered.append(entry)
        case Tagged(key=key):
            journal.tagged.add(key)
        case _:  # kept for people and for the engine; user code never asks for it
            pass


def _is_spent(journal: Journal, ended: set[str], retry: str) -> bool:
    key, mark, attempt = retry.rpartition(RETRY_MARK)
    if not mark or not attempt.isdigit():
        return False
    return key in ended or journal.attempts.get(key, 0) != int(attempt)


def is_new_loss(journal: Journal) -> bool:
    """Tell whether the engine charged a loss of workers that no residence has acted on yet."""
    return any(isinstance(entry, WorkerLosses) for entry in journal.unseen)
