"""The run and the step in every log line that structlog writes while user code runs."""

from __future__ import annotations

from typing import Any

import structlog

from onward.middleware.base import Middleware, Next, RunInfo, StepInfo


class StructLog(Middleware):
    """Binds `run`, `function` and `attempt`, and in steps `step` and `step_attempt`, as structlog's context variables.

    They are in the lines if `structlog.contextvars.merge_contextvars` is one of structlog's processors, as it is in the
    `worker` command.
    """

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        """Bind the run's fields."""
        with structlog.contextvars.bound_contextvars(run=run.id, function=run.function, attempt=run.attempt):
            return await next()

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        """Bind the step's fields."""
        with structlog.contextvars.bound_contextvars(step=step.id, step_attempt=step.attempt):
            return await next()
