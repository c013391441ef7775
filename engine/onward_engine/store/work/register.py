"""Apps and their functions, as their newest worker offers them."""

from __future__ import annotations

from ...rules import flow, triggers
from ..port import Register, Rejected
from .context import Work


def register(work: Work, op: Register) -> Rejected | None:
    """Store a manifest if it says anything new."""
    for function in op.app.functions:
        if problem := flow.problem(function) or triggers.trigger_problem(function):
            return Rejected("invalid_function", problem)
    if work.tables.app(op.app.name) != op.app:
        work.tables.put_app(op.app)
        work.notices.registered = True
    return None
