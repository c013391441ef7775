"""What people do with runs and functions: pause, resume, repeat and fork them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..commit import Refused
from ..rules.events import BadEvent
from .parts import Parts
from .reading import payload_of
from .refusals import (
    CONFLICT,
    NOT_FORKABLE,
    RUN_OVER,
    TOO_LARGE,
    UNKNOWN_FUNCTION,
    UNKNOWN_RUN,
    problem_of,
)
from .route import Asked, Nothing, Route
from .runs import StartedRun

RequestId = Annotated[str, Meta(description="The same one again gives the first run instead of another.")]


class Paused(Struct, frozen=True):
    """Whether the run is held, or its running steps end first."""

    status: Literal["paused", "pausing"]


class Resumed(Struct, frozen=True):
    """The run goes on."""

    status: Literal["resumed"] = "resumed"


class FunctionPause(Struct, frozen=True):
    """Whether a function begins new runs."""

    function: str
    paused: bool


class RerunRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which request this is."""

    id: RequestId = ""


class ForkRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the new run leaves the old one, and its input if that is to be another one. `input` is JSON,
    `input_msgpack` the same as base64 of MessagePack.
    """

    step: Annotated[str, Meta(description="The step's key, or its name if only one step has it.")]
    input: Any | UnsetType = UNSET
    input_msgpack: str = ""
    id: RequestId = ""


async def pause_run(parts: Parts, asked: Asked[Nothing, Nothing]) -> Paused:
    """Hold a run."""
    try:
        status = await parts.control.pause_run(asked.id)
    except Refused as error:
        raise problem_of(error) from error
    _check_found(asked.id, status)
    if status == "cancelling":
        raise CONFLICT.problem(f"Run {asked.id} is being cancelled.")
    return Paused(msgspec.convert(status, Literal["paused", "pausing"]))


async def resume_run(parts: Parts, asked: Asked[Nothing, Nothing]) -> Resumed:
    """Let a held run go on."""
    try:
        _check_found(asked.id, await parts.control.resume_run(asked.id))
    except Refused as error:
        raise problem_of(error) from error
    return Resumed()


async def rerun(parts: Parts, asked: Asked[Nothing, RerunRequest]) -> StartedRun:
    """Start a run once more."""
    try:
        return _started(asked.id, await parts.control.rerun(asked.id, asked.body.id))
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error


async def fork(parts: Parts, asked: Asked[Nothing, ForkRequest]) -> StartedRun:
    """Start a run that goes on from a step of another one."""
    wanted = asked.body
    try:
        input = None
        if wanted.input is not UNSET or wanted.input_msgpack:
            input = payload_of(None if wanted.input is UNSET else wanted.input, wanted.input_msgpack, "input")
        return _started(asked.id, await parts.control.fork(asked.id, wanted.step, input, wanted.id))
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error


async def pause_function(parts: Parts, asked: Asked[Nothing, Nothing]) -> FunctionPause:
    """Begin no new runs."""
    return await _pause_function(parts, asked.id, is_paused=True)


async def resume_function(parts: Parts, asked: Asked[Nothing, Nothing]) -> FunctionPause:
    """Begin new runs again."""
    return await _pause_function(parts, asked.id, is_paused=False)


async def _pause_function(parts: Parts, function: str, *, is_paused: bool) -> FunctionPause:
    try:
        is_known = await parts.control.pause_function(function, is_paused=is_paused)
    except Refused as error:
        raise problem_of(error) from error
    if not is_known:
        raise UNKNOWN_FUNCTION.problem(f"There is no function {function!r}.")
    return FunctionPause(function, is_paused)


def _check_found(run: str, status: str) -> None:
    if status == "unknown":
        raise UNKNOWN_RUN.problem(f"There is no run {run}.")
    if status == "terminal":
        raise RUN_OVER.problem(f"Run {run} is over already.")


def _started(run: str, started: str | None) -> StartedRun:
    if started is None:
        raise UNKNOWN_RUN.problem(f"There is no run {run}.")
    return StartedRun(started)


ROUTES = (
    Route(
        "POST",
        "/v1/runs/{id}/pause",
        pause_run,
        "Hold a run: what it waits for still comes, but it goes no further until it is resumed.",
        status=202,
        refusals=(UNKNOWN_RUN, RUN_OVER, CONFLICT),
    ),
    Route(
        "POST",
        "/v1/runs/{id}/resume",
        resume_run,
        "Let a held run go on.",
        status=202,
        refusals=(UNKNOWN_RUN, RUN_OVER),
    ),
    Route(
        "POST",
        "/v1/runs/{id}/rerun",
        rerun,
        "Start a new run with the events and the input of another one.",
        status=202,
        refusals=(UNKNOWN_RUN, UNKNOWN_FUNCTION),
    ),
    Route(
        "POST",
        "/v1/runs/{id}/fork",
        fork,
        "Start a new run that keeps what another one had done before a step.",
        status=202,
        refusals=(UNKNOWN_RUN, UNKNOWN_FUNCTION, NOT_FORKABLE, TOO_LARGE),
    ),
    Route(
        "POST",
        "/v1/functions/{id:path}/pause",
        pause_function,
        "Begin no new runs of a function; those that have started go on.",
        refusals=(UNKNOWN_FUNCTION,),
    ),
    Route(
        "POST",
        "/v1/functions/{id:path}/resume",
        resume_function,
        "Begin new runs of a function again.",
        refusals=(UNKNOWN_FUNCTION,),
    ),
)
