"""How a run's own code ended, in the words of the engine."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from onward_protocol.messages import Outcome, RunCancelled, RunCompleted, RunFailed

from onward.errors import OnwardError, PayloadTooLarge, failure_of

if TYPE_CHECKING:
    from onward import errors
    from onward.function import Function
    from onward.run.threads import Ending

log: Final = logging.getLogger("onward.run")


def ending_of(task: asyncio.Future[Any]) -> Ending:
    """Return how the main task of an asynchronous run ended."""
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (task.result(), None) if error is None else (None, error)


def outcome_of(function: Function[Any, Any], ending: Ending, cancelled: errors.RunCancelled | None) -> Outcome:
    """Return the run's outcome. A cancelled run stays cancelled, whatever its clean-up does."""
    value, error = ending
    if cancelled is not None:
        if error is not None and not _is_cancellation(error):
            log.warning("the clean-up of a cancelled run of %s failed", function.id, exc_info=error)
        return RunCancelled(str(cancelled))
    if error is not None:
        return RunFailed(failure_of(error))
    try:
        return RunCompleted(function.encode_output(value))
    except OnwardError as unencodable:
        return RunFailed(failure_of(unencodable))


def limited(function: Function[Any, Any], outcome: Outcome, output_bytes_max: int) -> Outcome:
    """Return the outcome, or the failure that it is because the engine would not keep so large a result."""
    if not isinstance(outcome, RunCompleted) or len(outcome.output) <= output_bytes_max:
        return outcome
    size = len(outcome.output)
    too_large = PayloadTooLarge(
        f"the result of function '{function.id}' has {size} bytes; {output_bytes_max} are allowed."
    )
    return RunFailed(failure_of(too_large))


def _is_cancellation(error: BaseException) -> bool:
    """Before Python 3.13 a TaskGroup takes a subclass of `CancelledError` for a failure, and wraps it."""
    match error:
        case BaseExceptionGroup(exceptions=errors):
            return all(map(_is_cancellation, errors))
        case _:
            return isinstance(error, asyncio.CancelledError)
