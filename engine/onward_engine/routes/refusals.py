"""Why a request may be refused: a status, and a code that stays the same for ever."""

from __future__ import annotations

from dataclasses import dataclass

from ..commit import BUSY, STOPPING, STORE_FULL, Refused
from ..control import UNKNOWN_STEP
from ..ingest import UNKNOWN_FUNCTION as UNKNOWN_FUNCTION_CODE
from ..problem import Problem
from ..rules.events import BadEvent


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason. `meaning` is what the documentation says of it."""

    status: int
    code: str
    meaning: str

    def problem(self, detail: str) -> Problem:
        """Return the error with a sentence about this very case."""
        retry_after_s = 1 if self.status in (429, 503) else None
        return Problem(self.status, self.code, detail, retry_after_s)


BAD_REQUEST = Refusal(400, "bad_request", "The request cannot be understood.")
BAD_EXPRESSION = Refusal(400, "bad_expression", "An expression cannot be read.")
UNKNOWN_RUN = Refusal(404, "unknown_run", "There is no such run.")
UNKNOWN_EVENT = Refusal(404, "unknown_event", "There is no such event.")
UNKNOWN_FUNCTION = Refusal(404, UNKNOWN_FUNCTION_CODE, "No worker has registered such a function.")
UNKNOWN_OPTION = Refusal(404, "unknown_option", "The function has no such limit.")
RUN_OVER = Refusal(409, "run_over", "The run has ended.")
NOBODY_WAITS = Refusal(404, "nobody_waits", "No run waits for such a signal.")
UNKNOWN_CALLBACK = Refusal(404, "unknown_callback", "Nobody waits for an answer at this address.")
CALLBACK_ANSWERED = Refusal(409, "callback_answered", "The callback was answered before.")
SIGNALS_FULL = Refusal(409, "signals_full", "The run has too many signals that it has not waited for.")
NO_OUTPUT = Refusal(409, "no_output", "The run has not completed, so that it has no output.")
NOT_FORKABLE = Refusal(409, UNKNOWN_STEP, "The run cannot be forked there: the answer names its steps.")
CONFLICT = Refusal(409, "conflict", "The id was used before for something else.")
TOO_LARGE = Refusal(413, "too_large", "The request is larger than is allowed.")
UNSUPPORTED = Refusal(415, "unsupported_media_type", "The body is not JSON.")
NOT_VALID = Refusal(422, "not_valid", "The body is JSON, but not what was expected.")
IMPOSSIBLE_LIMIT = Refusal(422, "impossible_limit", "The function could not have such a limit.")
QUEUE_FULL = Refusal(429, "queue_full", "Too many runs of the function wait already.")
INTERNAL = Refusal(500, "internal", "A mistake of the engine's; its log has more.")
UNAVAILABLE = tuple(
    Refusal(503, code, meaning)
    for code, meaning in (
        (BUSY, "Too much waits to be stored."),
        (STORE_FULL, "The disk is full."),
        (STOPPING, "The engine stops."),
    )
)

_KNOWN = {one.code: one for one in (*UNAVAILABLE, UNKNOWN_FUNCTION, QUEUE_FULL, CONFLICT, NOT_FORKABLE)}


def problem_of(error: BadEvent | Refused) -> Problem:
    """Return what a client is told of work that was not stored."""
    if isinstance(error, BadEvent):
        return (TOO_LARGE if error.too_large else BAD_REQUEST).problem(error.message)
    known = _KNOWN.get(error.code)
    return Problem(400, error.code, error.message) if known is None else known.problem(error.message)
