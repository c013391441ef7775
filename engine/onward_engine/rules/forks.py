"""Where a fork leaves the run that it comes from: what a run had done before one of its steps, as a journal of its own.

The log is cut before the first entry of the step, wherever other branches were by then. What was open there is left
out, so that the code opens it anew; only a callback, whose address somebody may have, stays open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace
from onward_protocol.codec import decode_engine_entries, decode_entries, encode_entries
from onward_protocol.messages import (
    OPEN_MARK,
    AttemptFailed,
    CallbackWait,
    CancelRequested,
    EngineEntry,
    Seen,
    Sent,
    Started,
    StepDone,
    StepFailed,
    Tagged,
    WaitClosed,
    WaitOpened,
    WorkerEntry,
)

FRAME_BYTES = 64 * 1024
"""Of a frame of the new journal: few rows, and each of them is read in a millisecond."""

ORIGINS_MAX = 32
"""Forks of forks: each of them is named in every assignment."""

_NAMED_MAX = 20
_RETRY_MARK = "!"
_CALLS = (StepDone, StepFailed, AttemptFailed, WaitOpened, Sent, Started)

Frame = tuple[int, int, bytes]
"""(epoch, seq, entries), as stored."""

_Kept = tuple[int, WorkerEntry]


class NotForkable(Exception):
    """There is no such place in the run. The message is for the one who asked."""


class Past(Struct, frozen=True, gc=False):
    """The journal that a fork begins with. Its frames of epoch n are those that the n-th of `origins` wrote. `open` are
    the callbacks that nobody has answered.
    """

    origins: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    entries: tuple[bytes, ...] = ()
    steps: int = 0
    tags: dict[str, str] = {}
    open: tuple[tuple[str, CallbackWait], ...] = ()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(len(data) for _, _, data in self.frames) + sum(map(len, self.entries))


def past_before(
    step: str, run: str, origins: tuple[str, ...], frames: Sequence[Frame], entries: Sequence[bytes]
) -> Past:
    """Return what a run had done before a step, which is named by its key, or by its name if only one has it. `origins`
    are those of the run. Raises `NotForkable`.
    """
    if len(origins) >= ORIGINS_MAX:
        raise NotForkable(f"run {run} is a fork of a fork, {ORIGINS_MAX} times over; no more are possible")
    written = [entry for data in entries for entry in decode_engine_entries(data)]
    key = _key_of(step, run, _calls(frames))
    kept, marked = _cut(key, frames, written, len(origins) + 1)
    kept, callbacks = _without_open(kept, written[:marked])
    found = [entry for _, entry in kept]
    return Past(
        origins=(*origins, run)[: max((level for level, _ in kept), default=0)],
        frames=tuple(_framed(kept)),
        entries=tuple(entries[:marked]),
        steps=sum(isinstance(entry, StepDone | StepFailed) for entry in found),
        tags={name: value for entry in found if isinstance(entry, Tagged) for name, value in entry.tags.items()},
        open=callbacks,
    )


def _calls(frames: Iterable[Frame]) -> list[str]:
    """Return the keys of everything that a fork can begin with, in the order in which they came to be known."""
    found: dict[str, None] = {}
    for _, _, data in frames:
        for entry in decode_entries(data):
            if isinstance(entry, _CALLS) and not _is_retry(entry.key, found):
                found[entry.key] = None
    return list(found)


def _is_retry(key: str, found: dict[str, None]) -> bool:
    step, mark, attempt = key.rpartition(_RETRY_MARK)
    return bool(mark) and attempt.isdigit() and step in found


def _key_of(step: str, run: str, calls: list[str]) -> str:
    if step in calls:
        return step
    named = [key for key in calls if key.rpartition("@")[0] == step]
    if len(named) == 1:
        return named[0]
    if named:
        raise NotForkable(f"run {run} has {len(named)} steps {step!r}; name one by its key: {_listed(named)}")
    if not calls:
        raise NotForkable(f"run {run} has come to no step yet")
    raise NotForkable(f"run {run} has no step {step!r}; it has {_listed(calls)}")


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED_MAX} more" if len(keys) > _NAMED_MAX else ""
    return ", ".join(keys[:_NAMED_MAX]) + more


def _cut(key: str, frames: Iterable[Frame], written: list[EngineEntry], level: int) -> tuple[list[_Kept], int]:
    """Return the worker's entries before the first of `key`, and how many of the engine's they mark."""
    kept: list[_Kept] = []
    marked = 0
    for epoch, _, data in frames:
        for entry in decode_entries(data):
            if getattr(entry, "key", None) == key:
                return kept, marked
            if isinstance(entry, Seen):
                marked = entry.pos
                _check_not_cancelled(key, written[marked - 1])
            kept.append((min(epoch, level), _unbound(entry)))
    return kept, marked


def _check_not_cancelled(key: str, entry: EngineEntry) -> None:
    if isinstance(entry, CancelRequested):
        raise NotForkable(f"{key} belongs to the clean-up of a cancelled run; fork from an earlier step")


def _unbound(entry: WorkerEntry) -> WorkerEntry:
    """Return an entry that binds to whatever arguments it meets: they may depend on the input, or on the run's id."""
    return replace(entry, args=0) if isinstance(entry, StepDone | StepFailed) else entry


def _without_open(
    kept: list[_Kept], written: list[EngineEntry]
) -> tuple[list[_Kept], tuple[tuple[str, CallbackWait], ...]]:
    over = {getattr(entry, "key", "") for entry in written}
    over |= {entry.key for _, entry in kept if isinstance(entry, WaitClosed)}
    waits = {entry.key: entry.wait for _, entry in kept if isinstance(entry, WaitOpened) and entry.key not in over}
    known = ((key, wait) for key, wait in waits.items() if key + OPEN_MARK in over)
    callbacks = tuple((key, wait) for key, wait in known if isinstance(wait, CallbackWait))
    left = waits.keys() - dict(callbacks).keys()
    return [(n, entry) for n, entry in kept if not (isinstance(entry, WaitOpened) and entry.key in left)], callbacks


def _framed(kept: list[_Kept]) -> Iterator[Frame]:
    seqs: dict[int, int] = {}
    for level, entries in _chunks(kept):
        seqs[level] = seqs.get(level, 0) + 1
        yield level, seqs[level], encode_entries(entries)


def _chunks(kept: list[_Kept]) -> Iterator[tuple[int, list[WorkerEntry]]]:
    """Yield runs of entries of one origin, each about as large as a frame."""
    chunk: list[WorkerEntry] = []
    size, last = 0, 0
    for level, entry in kept:
        if chunk and (level != last or size >= FRAME_BYTES):
            yield last, chunk
            chunk, size = [], 0
        chunk.append(entry)
        size, last = size + len(encode_entries([entry])), level
    if chunk:
        yield last, chunk
