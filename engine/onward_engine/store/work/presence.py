"""Which engines live, and what becomes of the workers of those that do not.

A session is at a replica only while that replica has a row: whoever finds a silent row finds all of its workers.
"""

from __future__ import annotations

from msgspec.structs import replace

from ...model import Replica
from ..port import Company, Present, TakenOver, TakeOver
from . import ownership
from .context import Work


def present(work: Work, op: Present) -> Company:
    """Note that a replica lives, and look at the others."""
    own = note_alive(work, op.replica)
    others = [one for one in work.tables.replicas() if one.id != op.replica]
    silent = tuple(one.id for one in others if _is_silent(one, work.now_ms - op.dead_ms))
    return Company(own.since_at_ms, len(others) - len(silent), silent)


def take_over(work: Work, op: TakeOver) -> TakenOver:
    """Orphan what a dead replica's workers execute, a few workers at a time."""
    replica = work.tables.replica(op.replica)
    if replica is None or not _is_silent(replica, op.silent_since_ms):
        return TakenOver(0, is_done=True)
    sessions = work.tables.sessions_at(op.replica, op.limit)
    claimable_at_ms = max(op.claimable_at_ms, replica.beat_at_ms + op.lease_ms)
    runs = sum(ownership.bereave(work, one.instance, one.generation, claimable_at_ms) for one in sessions)
    is_done = len(sessions) < op.limit
    if is_done:
        work.tables.drop_replica(op.replica)
    elif not replica.is_given_up:
        work.tables.put_replica(replace(replica, is_given_up=True))
    return TakenOver(runs, is_done, is_dropped=is_done)


def note_alive(work: Work, replica: str) -> Replica:
    """Write a replica's row, also if others have given it up: one that takes in a worker must have one, and as fresh as
    the lease that its Welcome gives.
    """
    found = work.tables.replica(replica)
    if found is None or found.is_given_up:
        alive = Replica(replica, work.now_ms, since_at_ms=work.now_ms)
    else:
        alive = Replica(replica, max(found.beat_at_ms, work.now_ms), found.since_at_ms)
    work.tables.put_replica(alive)
    return alive


def _is_silent(replica: Replica, since_ms: int) -> bool:
    return replica.is_given_up or replica.beat_at_ms <= since_ms
