"""Functions that workers have registered."""

from __future__ import annotations

from msgspec import Struct

from ..store.port import RunFilter
from ..store.tables import PAUSE
from ..views import FunctionLine, FunctionView, function_line, function_view
from .parts import Parts
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
    paused = await _paused(parts)
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
                line = function_line(app, function, is_paused=function.id in await _paused(parts))
                newest = await parts.store.runs(RunFilter(function=function.id, limit=RECENT_MAX))
                return function_view(line, function, newest.runs)
    raise UNKNOWN_FUNCTION.problem(f"There is no function {asked.id}.")


async def _paused(parts: Parts) -> set[str]:
    return {item.name for item in await parts.store.items(PAUSE, "")}


ROUTES = (
    Route("GET", "/v1/functions", list_functions, "List the functions that workers have registered."),
    Route("GET", "/v1/functions/{id:path}", show_function, "Show a function.", refusals=(UNKNOWN_FUNCTION,)),
)
