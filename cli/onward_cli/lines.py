"""Runs and steps as lines of tables, and as the fields that scripts read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from onward.calls import RunRecord, StepRecord

from onward_cli.output import Row, plain

LINE_COLUMNS: Final = ("id", "function", "status", "steps", "created", "took")
STEP_COLUMNS: Final = ("key", "kind", "status", "attempts", "at", "took", "about")

_NOT_LISTED: Final = frozenset(
    {
        "events",
        "input",
        "output",
        "output_bytes",
        "error",
        "cancel_reason",
        "skip_reason",
        "parent",
        "waiting_for",
        "progress",
    }
)


def run_fields(run: RunRecord) -> Row:
    """Return what a list says of a run; the rest is only known of one that was asked for alone."""
    return {name: value for name, value in plain(run).items() if name not in _NOT_LISTED}


def run_line(run: RunRecord) -> dict[str, Any]:
    """Return a run as a line of a table."""
    return {
        "id": run.id,
        "function": run.function,
        "status": f"{run.status} (paused)" if run.paused else run.status,
        "steps": run.steps,
        "created": clock_time(run.created_at_ms),
        "took": "" if None in (run.started_at_ms, run.ended_at_ms) else _took(run.started_at_ms, run.ended_at_ms),
    }


def step_line(step: StepRecord, due_at_ms: int | None = None) -> dict[str, Any]:
    """Return a step as a line of a table; one that waits, with when time ends it."""
    until = "" if due_at_ms is None else f"until {clock_time(due_at_ms)}"
    return {
        "key": step.key,
        "kind": step.kind,
        "status": step.status if step.error is None else f"{step.status}: {step.error.type}",
        "attempts": step.attempts,
        "at": clock_time(step.at_ms) if step.at_ms else "",
        "took": f"{step.took_ms}ms" if step.kind == "step" and step.status == "completed" else "",
        "about": " ".join(filter(None, [step.about, until])),
    }


def error_text(run: RunRecord) -> str | None:
    """Return a run's error in a line."""
    return None if run.error is None else f"{run.error.type}: {run.error.message}"


def clock_time(at_ms: int) -> str:
    """Return a moment as people here read it."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(sep=" ", timespec="seconds")


def _took(from_ms: int | None, until_ms: int | None) -> str:
    return f"{((until_ms or 0) - (from_ms or 0)) / 1000:.2f}s"
