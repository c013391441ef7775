"""Many runs at once: all that a selection names are cancelled or started again, a bounded part of them in a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from ..commit import Refused
from ..ingest import CLEANUP_MS
from ..model import TERMINAL, Run, Status
from ..rules.events import BadEvent
from .fields import LIST_MAX, Cursor, cursor_of
from .parts import Parts
from .refusals import BAD_EXPRESSION, BAD_REQUEST, problem_of
from .route import Asked, Nothing, Route
from .selection import RunSelection, find, selection_of

CHANGED_MAX = 1_000
"""So many runs are changed by one request; an answer with a cursor says that there are more."""

COUNTED_MAX = 10_000
LOOKS_MAX = 50
"""Pages that are looked at for one request: a selection that finds little must not lead through all runs there are."""

SAMPLE_MAX = 10

_LIVE = [status for status in Status if status not in TERMINAL]


class BulkSelection(RunSelection, frozen=True, kw_only=True):
    """Which runs, and whether they are only to be counted."""

    dry_run: Annotated[bool, Meta(description="Change nothing, and say what would be changed.")] = False
    cursor: Cursor = 0


class BulkCancel(BulkSelection, frozen=True, kw_only=True):
    """Which runs are cancelled, why, and how long their code may clean up."""

    reason: str = ""
    cleanup_ms: int = CLEANUP_MS


class BulkRerun(BulkSelection, frozen=True, kw_only=True):
    """Which runs are started again. `request` makes a repeat harmless: no run is started twice for the same one,
    and none again that it has started.
    """

    request: str = ""


class BulkAnswer(Struct, frozen=True):
    """How many runs there were in this part, and some of them. The cursor asks for the next part; null: this was the
    last. `unclear` counts those for which `where` could not be evaluated: they are left as they are.
    """

    count: int
    sample: list[str]
    cursor: str | None
    unclear: int = 0


async def cancel_runs(parts: Parts, asked: Asked[Nothing, BulkCancel]) -> BulkAnswer:
    """Cancel many runs."""
    wanted = asked.body

    async def cancel(run: Run) -> None:
        await parts.ingest.cancel(run.id, wanted.reason, max(0, wanted.cleanup_ms))

    return await change_many(parts, wanted, wanted.status or _LIVE, cancel)


async def rerun_runs(parts: Parts, asked: Asked[Nothing, BulkRerun]) -> BulkAnswer:
    """Start many runs again. Those whose function nobody offers any more are left out."""
    wanted, catalogue = asked.body, parts.catalogue
    await catalogue.load()  # another engine may have registered the function

    async def rerun(run: Run) -> None:
        await parts.control.rerun(run.id, wanted.request)

    def is_meant(run: Run) -> bool:
        return run.function in catalogue and not parts.control.is_rerun(run, wanted.request)

    return await change_many(parts, wanted, wanted.status, rerun, is_meant)


async def change_many(
    parts: Parts,
    wanted: BulkSelection,
    status: list[Status],
    change: Callable[[Run], Awaitable[None]],
    is_meant: Callable[[Run], bool] = lambda _: True,
) -> BulkAnswer:
    """Change the runs of a selection, newest first, so that what begins meanwhile is not among them."""
    if not wanted.dry_run and not _says_anything(wanted):
        raise BAD_REQUEST.problem("Say which runs: without any condition these would be all of them.")
    most = COUNTED_MAX if wanted.dry_run else CHANGED_MAX
    answer = BulkAnswer(0, [], None)
    before: int | None = wanted.cursor or None
    for look in count(1):
        limit = min(LIST_MAX, most - answer.count)
        found = await find(parts, selection_of(replace(wanted, status=status), limit=limit, before=before))
        runs = tuple(filter(is_meant, found.runs))
        if not wanted.dry_run:
            await _apply(runs, change)
        sample = (answer.sample + [run.id for run in runs])[:SAMPLE_MAX]
        before = found.next
        answer = BulkAnswer(answer.count + len(runs), sample, cursor_of(before), answer.unclear + found.unclear)
        if before is None or answer.count >= most or look >= LOOKS_MAX:
            break
    return answer


async def _apply(runs: tuple[Run, ...], change: Callable[[Run], Awaitable[None]]) -> None:
    """Change some runs in as few transactions as it takes. What has ended meanwhile is left as it is."""
    done = await asyncio.gather(*(change(run) for run in runs), return_exceptions=True)
    for error in done:
        if isinstance(error, BadEvent | Refused):
            raise problem_of(error) from error
        if error is not None:
            raise error


def _says_anything(wanted: BulkSelection) -> bool:
    return any(getattr(wanted, name) not in ([], "", None) for name in RunSelection.__struct_fields__)


ROUTES = (
    Route(
        "POST",
        "/v1/bulk/cancel",
        cancel_runs,
        f"Cancel the runs that a selection names, at most {CHANGED_MAX:,} in a request.",
        status=202,
        refusals=(BAD_EXPRESSION,),
    ),
    Route(
        "POST",
        "/v1/bulk/rerun",
        rerun_runs,
        f"Start the runs that a selection names once more, at most {CHANGED_MAX:,} in a request. Those whose function "
        "nobody offers any more are left out.",
        status=202,
        refusals=(BAD_EXPRESSION,),
    ),
)
