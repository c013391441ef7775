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


def outcome_of(
    function: Function[Any, Any], ending: Ending, cancelled: errors.RunCancelled | None, output_bytes_max: int
) -> Outcome:
    """Return the run's outcome. A cancelled run stays cancelled, whatever its clean-up does."""
    value, error = ending
    if cancelled is not None:
        if error is not None and not _is_cancellation(error):
            log.warning("the clean-up of a cancelled run of %s failed", function.id, exc_info=error)
        return RunCancelled(str(cancelled))
    if error is not None:
        return RunFailed(failure_of(error))
    try:
        return RunCompleted(_encoded(function, value, output_bytes_max))
    except OnwardError as unencodable:
        return RunFailed(failure_of(unencodable))


def _is_cancellation(error: BaseException) -> bool:
    """Before Python 3.13 a TaskGroup takes a subclass of `CancelledError` for a failure, and wraps it."""
    match error:
        case BaseExceptionGroup(exceptions=errors):
            return all(map(_is_cancellation, errors))
        case _:
            return isinstance(error, asyncio.CancelledError)


def _encoded(function: Function[Any, Any], value: Any, output_bytes_max: int) -> bytes:
    output = function.encode_output(value)
    if len(output) > output_bytes_max:
        raise PayloadTooLarge(
            f"the result of function '{function.id}' has {len(output)} bytes; {output_bytes_max} are allowed."
        )
    return output
