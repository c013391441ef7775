"""Callbacks: addresses that take one answer. The token in them is all that is asked for."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from ..auth import CALLBACKS
from ..commit import Refused
from ..problem import Problem
from ..rules.events import BadEvent, json_problem
from .parts import Parts
from .reading import payload_of
from .refusals import BAD_REQUEST, CALLBACK_ANSWERED, TOO_LARGE, UNKNOWN_CALLBACK, problem_of
from .route import TEXT, Asked, Nothing, Route

_EXPLANATION = """This address takes one answer, as a POST with a JSON body:

    curl -X POST -H 'content-type: application/json' -d '{"approved": true}' <this address>

Opening it in a browser changes nothing.
"""


async def answer_callback(parts: Parts, asked: Asked[Nothing, bytes]) -> Response:
    """Take the answer. What programs that call back send as media type varies; it has to be JSON all the same."""
    if not await parts.signals.knows(asked.path["token"]):  # before the body is looked at: it may be anybody's
        raise _unknown()
    body = asked.body or b"null"
    if problem := json_problem(body, parts.settings.limits.depth_max):
        raise BAD_REQUEST.problem(f"The body {problem}.")
    try:
        value = payload_of(msgspec.json.decode(body), "", "body")
        verdict = await parts.signals.answer(asked.path["token"], value)
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error
    if verdict == "unknown":
        raise _unknown()
    if verdict == "repeated":
        raise CALLBACK_ANSWERED.problem("This was answered already.")
    return Response("Thank you.\n", 202, media_type=TEXT)


async def explain_callback(parts: Parts, asked: Asked[Nothing, Nothing]) -> Response:
    """Say what to do with the address. Programs that look at links in mails must not answer by that."""
    del parts, asked
    return Response(_EXPLANATION, 405, {"allow": "POST"}, TEXT)


def _unknown() -> Problem:
    return UNKNOWN_CALLBACK.problem("Nobody waits for an answer here: the time is over, or there was never a wait.")


ROUTES = (
    Route(
        "POST",
        CALLBACKS + "{token}",
        answer_callback,
        "Answer a callback, once.",
        status=202,
        body=object,
        answer=str,
        media=(TEXT,),
        refusals=(UNKNOWN_CALLBACK, CALLBACK_ANSWERED, TOO_LARGE),
        is_open=True,
        body_bytes_max=512 * 1024,
    ),
    Route(
        "GET",
        CALLBACKS + "{token}",
        explain_callback,
        "Say how a callback is answered.",
        status=405,
        answer=str,
        media=(TEXT,),
        is_open=True,
    ),
)
