"""What a guard says about a worker process that cannot speak for itself."""

from __future__ import annotations

from msgspec.structs import replace

from ...model import Status
from ...rules import sessions
from ..port import Denied, Guard, Orphan
from . import ownership
from .context import Work


def guard(work: Work, op: Guard) -> Denied | None:
    """Keep the runs of a worker that stands still for it; or hand them on."""
    session = work.tables.session(op.instance)
    if session is None or not sessions.is_its_guard(session, op.session):
        return Denied("unknown_session", f"No worker process is known as {op.instance} with this session.")
    work.tables.put_session(replace(session, guarded_until_ms=op.claimable_at_ms))
    if op.is_over:
        ownership.orphan(work, Orphan(op.now_ms, op.instance, session.generation, op.claimable_at_ms))
    for run in work.tables.held_by(op.instance):
        if run.status is Status.ORPHANED:
            ownership.hold(work, run, op.claimable_at_ms)
    return None
