"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def _named(text: str) -> str:
    """A script's unset variable must not ask for the list of everything."""
    if not text:
        raise typer.BadParameter("it is empty")
    return text


Apps = Annotated[
    list[str], typer.Argument(metavar="APP...", help="module:attribute of an App or a list of functions, or a module.")
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", callback=_named, help="Where; it is made if there is none.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", callback=_named, help="The run's id.")]
FunctionId = Annotated[str, typer.Argument(metavar="FUNCTION", callback=_named, help="The function's id: app/name.")]
EventId = Annotated[str, typer.Argument(metavar="EVENT", callback=_named, help="The event's id.")]

LINES_MAX = 1_000_000  # a page at a time; more is for an export of the database
Limit = Annotated[int, typer.Option("--limit", min=1, max=LINES_MAX, help="At most so many.")]
