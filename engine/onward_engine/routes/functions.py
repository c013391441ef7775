"""Functions that workers have registered."""

from __future__ import annotations

from msgspec import Struct

from ..store.port import RunFilter
from ..views import FunctionLine, FunctionView, function_line, function_view
from .parts import Parts
from .queues import limit_line
from .refusals import UNKNOWN_FUNCTION
from .route import Asked, Nothing, Route

RECENT_MAX = 1_000
"""So many of the newest runs of a function are counted."""


class FunctionList(Struct, frozen=True):
    """All functions, by app."""

    functions: list[FunctionLine]


async def list_functions(parts: Parts, asked: Asked[Nothing, Nothing]) -> FunctionList:
    """List all functions."""
    del asked
    paused = await parts.catalogue.paused()
    return FunctionList(
        [
            function_line(app, function, is_paused=function.id in paused)
            for app in parts.catalogue.apps
            for function in app.functions
        ]
    )


async def show_function(parts: Parts, asked: Asked[Nothing, Nothing]) -> FunctionView:
    """Show one function."""
    for app in parts.catalogue.apps:
        for function in app.functions:
            if function.id == asked.id:
                line = function_line(app, function, is_paused=function.id in await parts.catalogue.paused())
                newest = await parts.store.runs(RunFilter(function=function.id, limit=RECENT_MAX))
                limits = [limit_line(one) for one in await parts.queues.options(function)]
                return function_view(line, function, newest.runs, limits)
    raise UNKNOWN_FUNCTION.problem(f"There is no function {asked.id}.")


ROUTES = (
    Route("GET", "/v1/functions", list_functions, "List the functions that workers have registered."),
    Route("GET", "/v1/functions/{id:path}", show_function, "Show a function.", refusals=(UNKNOWN_FUNCTION,)),
)
