"""Runs: start, list, show, cancel."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response

from ..commit import Refused
from ..explanations import WhyView, why_view
from ..ingest import CLEANUP_MS
from ..model import Run, Status
from ..payloads import payload_view
from ..rules.events import BadEvent
from ..store.port import PROGRESS, STEPS_PAGE
from ..views import RunLine, RunView, StepList, run_line, run_view, steps_view
from .application import viewed
from .fields import Count, Cursor, Wait, cursor_of, lines
from .parts import Parts
from .reading import payload_of
from .refusals import (
    BAD_EXPRESSION,
    NO_OUTPUT,
    QUEUE_FULL,
    RUN_OVER,
    TOO_LARGE,
    UNKNOWN_FUNCTION,
    UNKNOWN_RUN,
    problem_of,
)
from .route import JSON, MSGPACK, Asked, Nothing, Route
from .selection import RunSelection, find, selection_of

_LINE_BYTES = 100  # of a line of a history, beside what a step returned


class StartRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A run to start. `input` is JSON, `input_msgpack` the same as base64 of MessagePack; `id` makes a repeat
    harmless.
    """

    function: str
    input: Any = None
    input_msgpack: str = ""
    id: str = ""


class StartedRun(Struct, frozen=True):
    """The id of the run that was started, now or by an earlier request with the same id."""

    run: str


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a run is cancelled, and how long its code may clean up."""

    reason: str = ""
    cleanup_ms: int = CLEANUP_MS


class Cancelled(Struct, frozen=True):
    """Whether the run is over, or its code cleans up first."""

    status: Literal["cancelled", "cancelling"]


class RunQuery(RunSelection, frozen=True, kw_only=True):
    """Which runs, and which part of them."""

    cursor: Cursor = 0
    limit: Count = 50


class RunList(Struct, frozen=True):
    """Runs, newest first. The cursor asks for the next page; null: these were the last. A page may have fewer runs than
    were asked for, and none: so many were looked at. `unclear` counts those for which `where` could not be evaluated.
    """

    runs: list[RunLine]
    cursor: str | None
    unclear: int = 0


class StepQuery(Struct, frozen=True):
    """Which part of a history; and how long to wait for more of it if there is nothing yet and the run goes on."""

    cursor: Cursor = 0
    limit: Count = STEPS_PAGE
    wait_ms: Wait = 0


class WaitQuery(Struct, frozen=True):
    """How long to wait for the end of the run."""

    wait_ms: Wait = 0


async def start_run(parts: Parts, asked: Asked[Nothing, StartRequest]) -> StartedRun:
    """Start one run."""
    wanted = asked.body
    try:
        input = payload_of(wanted.input, wanted.input_msgpack, "input")
        return StartedRun(await parts.ingest.start(wanted.function, input, wanted.id))
    except (BadEvent, Refused) as error:
        raise problem_of(error) from error


async def list_runs(parts: Parts, asked: Asked[RunQuery, Nothing]) -> RunList:
    """List runs."""
    query = asked.query
    found = await find(parts, selection_of(query, limit=lines(query.limit), before=query.cursor or None))
    return RunList([run_line(run) for run in found.runs], cursor_of(found.next), found.unclear)


async def show_run(parts: Parts, asked: Asked[WaitQuery, Nothing]) -> Response:
    """Show one run."""
    run = await _found(parts, asked.id, asked.query.wait_ms)
    bytes_max = parts.settings.bounds.view_bytes_max
    reason = await parts.reasons.waits_for(run) or None
    progress = b"".join([item.body for item in await parts.store.items(PROGRESS, run.id)])  # there is one at most
    return await viewed(len(run.input) + len(run.output), lambda: run_view(run, bytes_max, reason, progress))


async def show_output(parts: Parts, asked: Asked[WaitQuery, Nothing]) -> Response:
    """Show what a run returned."""
    run = await _found(parts, asked.id, asked.query.wait_ms)
    if run.status is not Status.COMPLETED:
        raise NO_OUTPUT.problem(f"Run {run.id} has no output: it is {run.status.value}.")
    if MSGPACK in asked.accept:
        return Response(run.output, media_type=MSGPACK)
    return await viewed(len(run.output), lambda: payload_view(run.output, parts.settings.bounds.view_bytes_max))


async def list_steps(parts: Parts, asked: Asked[StepQuery, Nothing]) -> Response:
    """List the lines of a run's history."""
    query, bounds = asked.query, parts.settings.bounds
    patience_ms = min(query.wait_ms, bounds.wait_ms_max)
    found = await parts.followers.steps(asked.id, query.cursor, lines(query.limit, STEPS_PAGE), patience_ms)
    if found is None:
        raise UNKNOWN_RUN.problem(f"There is no run {asked.id}.")
    run, page = found
    size = sum(len(step.output or b"") + _LINE_BYTES for step in page.steps)
    return await viewed(size, lambda: steps_view(run, page, bounds.view_bytes_max))


async def explain_run(parts: Parts, asked: Asked[Nothing, Nothing]) -> WhyView:
    """Say why a run is where it is."""
    run = await _found(parts, asked.id, 0)
    return why_view(run, await parts.reasons.why(run))


async def cancel_run(parts: Parts, asked: Asked[Nothing, CancelRequest]) -> Cancelled:
    """Cancel one run."""
    try:
        status = await parts.ingest.cancel(asked.id, asked.body.reason, max(0, asked.body.cleanup_ms))
    except Refused as error:
        raise problem_of(error) from error
    if status == "unknown":
        raise UNKNOWN_RUN.problem(f"There is no run {asked.id}.")
    if status == "terminal":
        raise RUN_OVER.problem(f"Run {asked.id} is over already.")
    return Cancelled(msgspec.convert(status, Literal["cancelled", "cancelling"]))


async def _found(parts: Parts, run: str, wait_ms: int) -> Run:
    found = await parts.endings.wait(run, min(wait_ms, parts.settings.bounds.wait_ms_max))
    if found is None:
        raise UNKNOWN_RUN.problem(f"There is no run {run}.")
    return found


ROUTES = (
    Route(
        "POST",
        "/v1/runs",
        start_run,
        "Start a run.",
        status=202,
        refusals=(UNKNOWN_FUNCTION, TOO_LARGE, QUEUE_FULL),
    ),
    Route("GET", "/v1/runs", list_runs, "List runs, newest first.", refusals=(BAD_EXPRESSION,)),
    Route(
        "GET", "/v1/runs/{id}", show_run, "Show a run; or wait for its end.", answer=RunView, refusals=(UNKNOWN_RUN,)
    ),
    Route(
        "GET",
        "/v1/runs/{id}/output",
        show_output,
        "Show what a run returned, as JSON, or as it is stored.",
        answer=Any,
        media=(JSON, MSGPACK),
        refusals=(UNKNOWN_RUN, NO_OUTPUT),
    ),
    Route(
        "GET",
        "/v1/runs/{id}/steps",
        list_steps,
        "List what a run has done, oldest first.",
        answer=StepList,
        refusals=(UNKNOWN_RUN,),
    ),
    Route(
        "GET",
        "/v1/runs/{id}/why",
        explain_run,
        "Say why a run does not start, or what it waits for.",
        refusals=(UNKNOWN_RUN,),
    ),
    Route(
        "POST",
        "/v1/runs/{id}/cancel",
        cancel_run,
        "Cancel a run.",
        status=202,
        refusals=(UNKNOWN_RUN, RUN_OVER),
    ),
)
