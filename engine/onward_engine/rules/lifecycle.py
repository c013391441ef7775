"""The life of a run: every legal move in one table, and one function for each.

A run has an owner exactly while it is ASSIGNED, ORPHANED, PARKED or READY; `(run, epoch)` names that ownership. Only
a claim raises the epoch.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace
from onward_protocol.messages import Failure

from ..model import Run, Status
from . import losses

Verdict = Literal["applied", "duplicate", "gap", "stale"]

_BROKEN_OFF = frozenset({Status.FAILED, Status.CANCELLED})
_ENDS = _BROKEN_OFF | {Status.COMPLETED}

MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.ASSIGNED, Status.SKIPPED}) | _BROKEN_OFF,
    Status.ASSIGNED: frozenset({Status.ORPHANED, Status.PARKED, Status.READY, Status.QUEUED}) | _ENDS,
    Status.ORPHANED: frozenset({Status.ASSIGNED, Status.PARKED, Status.READY, Status.QUEUED}) | _ENDS,
    Status.PARKED: frozenset({Status.READY, Status.ASSIGNED}) | _BROKEN_OFF,
    Status.READY: frozenset({Status.ASSIGNED, Status.QUEUED, Status.PARKED}) | _ENDS,
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.SKIPPED: frozenset(),
}


class IllegalMove(Exception):
    """A bug of ours: the table above has no such move."""


def verdict(run: Run, epoch: int, seq: int, instance: str) -> Verdict:
    """Judge a frame. Only the holder at the current epoch is heard, and only its next frame changes anything.

    A run that was given back has no holder. The frame that did so may come again, because its acknowledgement was lost.
    """
    if epoch != run.epoch or run.holder not in ("", instance):
        return "stale"
    if seq <= run.seq:
        return "duplicate"
    if run.status.is_terminal or not run.holder:
        return "stale"
    return "applied" if seq == run.seq + 1 else "gap"


def claimed(run: Run, instance: str, generation: int, now_ms: int, version: str = "") -> Run:
    """Give a run to a connection. A new epoch counts its frames from 1 again."""
    return replace(
        _moved(run, Status.ASSIGNED),
        epoch=run.epoch + 1,
        seq=0,
        strikes=run.strikes + losses.is_strike(run),
        holder=instance,
        generation=generation,
        started_at_ms=run.started_at_ms or now_ms,
        version=version,
    )


def resumed(run: Run, instance: str, generation: int) -> Run:
    """Let the holder go on at the same epoch. An older connection never replaces a newer one."""
    newest = max(generation, run.generation)
    if run.status is Status.ASSIGNED:
        return replace(run, holder=instance, generation=newest)
    return replace(_moved(run, Status.ASSIGNED), holder=instance, generation=newest)


def held(run: Run, instance: str, generation: int) -> Run:
    """Note on which connection the holder of a waiting run is now."""
    return replace(run, holder=instance, generation=max(generation, run.generation))


def disconnected(run: Run) -> Run:
    """Forget on which connection the holder was: generations of an earlier engine order nothing in this one."""
    return replace(run, generation=0)


def orphaned(run: Run) -> Run:
    """The holder's connection is gone; it stays the holder until another claim."""
    return _moved(run, Status.ORPHANED)


def parked(run: Run) -> Run:
    """Only waits are left."""
    return _moved(run, Status.PARKED)


def readied(run: Run) -> Run:
    """A run that is parked at its worker has something new to see."""
    return _moved(run, Status.READY)


def requeued(run: Run) -> Run:
    """Nobody has this run any more; anybody may claim it."""
    return replace(_moved(run, Status.QUEUED), holder="", generation=0)


def forgotten(run: Run) -> Run:
    """A parked run is in nobody's memory any more."""
    return replace(run, holder="", generation=0)


def with_entry(run: Run, entry_bytes: int) -> Run:
    """Count an engine entry that is written at the run's next pos."""
    return replace(run, pos=run.pos + 1, state_bytes=run.state_bytes + entry_bytes)


def completed(run: Run, output: bytes, now_ms: int) -> Run:
    """End a run with its result."""
    return replace(_moved(run, Status.COMPLETED), output=output, ended_at_ms=now_ms)


def failed(run: Run, failure: Failure, now_ms: int) -> Run:
    """End a run with its failure."""
    return replace(_moved(run, Status.FAILED), failure=failure, ended_at_ms=now_ms)


def cancelled(run: Run, reason: str, now_ms: int) -> Run:
    """End a run without a result."""
    return replace(_moved(run, Status.CANCELLED), cancel_reason=reason, ended_at_ms=now_ms)


def skipped(run: Run, reason: str, now_ms: int) -> Run:
    """End a run that one of its function's options keeps from beginning."""
    return replace(_moved(run, Status.SKIPPED), cancel_reason=reason, ended_at_ms=now_ms)


def after_parking(run: Run, has_open_waits: bool) -> Literal[Status.READY, Status.PARKED, Status.QUEUED]:
    """Say where a run goes that stops because only waits are left.

    An entry that the worker has not marked will never be sent again by itself, so the run is woken at once. A run
    that waits for nothing would never be woken: it is handed out anew.
    """
    if run.pos > run.seen:
        return Status.READY
    return Status.PARKED if has_open_waits else Status.QUEUED


def _moved(run: Run, to: Status) -> Run:
    if to not in MOVES[run.status]:
        raise IllegalMove(f"run {run.id}: {run.status} -> {to}")
    return replace(run, status=to)
