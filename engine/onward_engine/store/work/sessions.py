"""Worker processes come in, are recognised, and are forgotten long after they have gone."""

from __future__ import annotations

from ...model import Session
from ...rules import sessions
from ..port import Confirm, Denied, Enter, Entered, Resume, Superseded
from . import presence, resume
from .context import Work

KEPT_MS = 24 * 60 * 60 * 1000
"""A worker that comes back within a day is recognised; later, what it says about itself is believed."""

_FORGET_MAX = 10  # more than the one that an arrival may add, so that they never pile up

_MESSAGES = {
    "duplicate_instance": (
        "Another worker process is connected as {instance}. "
        "An instance id belongs to one process: let the SDK choose it."
    ),
    "stale_generation": "This worker has a newer connection already; this one was opened before it.",
}


def enter(work: Work, op: Enter) -> Entered | Denied:
    """Let a worker in, and give it back what it holds."""
    session = work.tables.session(op.instance)
    if session is not None and (code := sessions.denial(session, op.session, op.generation)):
        return Denied(code, _MESSAGES[code].format(instance=op.instance))
    work.tables.forget_sessions(work.now_ms - KEPT_MS, _FORGET_MAX)
    session = _begin(work, session or Session(op.instance, op.session or op.secret), op)
    resumed = resume.resume(work, Resume(op.now_ms, op.instance, session.generation, op.held))
    return Entered(session.secret, session.generation, resumed)


def confirm(work: Work, op: Confirm) -> None:
    """Note that a worker has answered its Welcome."""
    session = work.tables.session(op.instance)
    if session is not None and session.confirmed < op.generation:
        work.tables.put_session(sessions.confirmed(session, op.generation))


def _begin(work: Work, session: Session, op: Enter) -> Session:
    begun = sessions.begun(session, op.generation, op.replica, work.now_ms)
    presence.note_alive(work, op.replica)
    if session.generation and session.replica != op.replica:
        work.notices.superseded.append(Superseded(begun.instance, begun.generation))
    work.tables.put_session(begun)
    return begun
