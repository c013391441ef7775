"""What happened in a simulation, as its witnesses tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard, cast

from onward_engine.model import Assignment, Run
from onward_engine.store.port import (
    Admit,
    Applied,
    ApplyCheckpoint,
    Claim,
    Entered,
    GiveBack,
    Rejected,
    Resume,
    Resumed,
)
from onward_engine.store.tables import Journal
from onward_protocol.codec import decode_engine_entries, decode_entries
from onward_protocol.messages import EngineEntry, WorkerEntry

from tests.support.cluster import Loss
from tests.support.controls import NONE, Controls
from tests.support.ledger import Ledger
from tests.support.overheard import Overheard
from tests.support.stories import Story
from tests.support.witness import Record


@dataclass(frozen=True, slots=True)
class Told:
    """A story that the client told, and the runs in each answer. With an id it may be told again. One that
    `is_cancelled` may end before its end.
    """

    story: Story
    has_id: bool
    answers: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One run as it is at the end, with its journal; `segments` are its frames: epoch, number, entries."""

    run: Run
    entries: list[WorkerEntry]
    ends: list[EngineEntry]
    segments: list[tuple[int, int, bytes]]


@dataclass(slots=True)
class History:
    """Everything that the witnesses say. After `is_gentle` faults nothing had to be repeated; `unacked_max` results of
    a run may have been on their way when its next step began. Only a network that `is_honest` neither loses nor repeats
    a message in the middle of a connection.
    """

    told: list[Told]
    stored: dict[str, Stored]
    ledger: Ledger
    records: Sequence[Record]
    finished: list[str]
    losses: list[Loss]
    is_gentle: bool
    unacked_max: int = 1
    overheard: Overheard = field(default_factory=Overheard)
    complaints: list[str] = field(default_factory=list[str])
    is_honest: bool = True
    controls: Controls = NONE


def stored(run: Run, journal: Journal) -> Stored:
    """Read a run's journal."""
    return Stored(
        run,
        [entry for _, _, data in journal.segments for entry in decode_entries(data)],
        [entry for data in journal.entries for entry in decode_engine_entries(data)],
        list(journal.segments),
    )


def is_applied(record: Record) -> bool:
    """Say whether the record is a frame that was stored."""
    return isinstance(record.outcome, Applied) and record.outcome.verdict == "applied"


def frame_of(record: Record) -> ApplyCheckpoint | None:
    """Return the frame that was stored, if it is one."""
    return record.op if isinstance(record.op, ApplyCheckpoint) and is_applied(record) else None


def taken(record: Record) -> tuple[Assignment, ...]:
    """Return the runs that a claim took."""
    return cast("tuple[Assignment, ...]", record.outcome) if _succeeded(record, Claim) else ()


def answers(record: Record) -> tuple[Resumed, ...]:
    """Return what a worker was told about the runs that it held."""
    if isinstance(record.outcome, Entered):
        return record.outcome.resumed
    return cast("tuple[Resumed, ...]", record.outcome) if _succeeded(record, Resume) else ()


def met(records: Sequence[Record]) -> Counter[str]:
    """Return which situations the store met, and how often."""
    marks: Counter[str] = Counter()
    for record in records:
        marks.update(f"run fenced: {answer.reason}" for answer in answers(record) if not answer.owned)
        marks["run resumed"] += sum(answer.owned for answer in answers(record))
        marks["run taken over"] += sum(assignment.run.epoch > 1 for assignment in taken(record))
        match record.op:
            case ApplyCheckpoint() if isinstance(record.outcome, Applied):
                marks[f"frame {record.outcome.verdict}"] += 1
            case Admit() if record.outcome is None:
                marks["run not admitted"] += 1
            case GiveBack(reason=reason) if record.outcome is True:
                marks[f"run given back: {reason}"] += 1
            case _:
                pass
    return +marks


def _succeeded(record: Record, kind: type[Claim | Resume]) -> TypeGuard[Record]:
    return isinstance(record.op, kind) and not isinstance(record.outcome, Rejected)
