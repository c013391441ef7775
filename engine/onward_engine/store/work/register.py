"""Apps and their functions, as their newest worker offers them."""

from __future__ import annotations

from ...rules import schedules as schedule_rules
from ...rules import triggers, watches
from ...rules.flow import problems
from ..port import Register, Rejected
from . import limits, schedules
from .context import Work


def register(work: Work, op: Register) -> Rejected | None:
    """Store a manifest if it says anything new."""
    for function in op.app.functions:
        problem = problems.problem(function) or triggers.trigger_problem(function) or watches.options_problem(function)
        if problem := problem or schedule_rules.problem(function):
            return Rejected("invalid_function", problem)
    before = work.tables.app(op.app.name)
    if before != op.app:
        work.tables.put_app(op.app)
        schedules.plan_app(work, op.app, before)
        limits.register(work, op.app, before)
        work.notices.registered = True
    return None
