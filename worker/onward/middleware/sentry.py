"""Errors of functions and steps, for Sentry. Needs `pip install 'onward[sentry]'`, and a call of `sentry_sdk.init`."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any, Final

import sentry_sdk

from onward.errors import Evicted, InvokeFailed, StepFailed
from onward.middleware.base import Middleware, Next, RunInfo, StepInfo


class Sentry(Middleware):
    """Reports each error once, where it came from: a step's when its last attempt has failed, or that of every attempt
    without `final_attempt_only`; and what a function raises itself.

    A function that ends with a failed step or child raises nothing of its own: that error was reported there. Neither
    cancellations nor runs that leave this worker are errors. Reports have the tags `run`, `function`, and `step`.
    """

    def __init__(self, *, final_attempt_only: bool = True) -> None:
        self._final_attempt_only: Final = final_attempt_only

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        """Report what the function raises."""
        try:
            return await next()
        except (CancelledError, Evicted, StepFailed, InvokeFailed):
            raise
        except Exception as error:
            _report(error, {"run": run.id, "function": run.function})
            raise

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        """Report what the attempt raises."""
        try:
            return await next()
        except (CancelledError, Evicted):
            raise
        except Exception as error:
            if not self._final_attempt_only or step.is_last(error):
                tags = {"run": step.run.id, "function": step.run.function, "step": step.id}
                _report(error, {**tags, "attempt": str(step.attempt)})
            raise


def _report(error: Exception, tags: dict[str, str]) -> None:
    with sentry_sdk.new_scope() as scope:
        scope.set_tags(tags)
        sentry_sdk.capture_exception(error, scope=scope)
