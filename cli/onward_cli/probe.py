"""`worker probe`, for people; containers get the same answer before anything of this is imported."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.heartbeat import VARIABLE, answer
from onward_cli.options import RunDir

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Question(StrEnum):
    """What a container asks: `live`, is it to be restarted; `ready`, does it take work."""

    LIVE = "live"
    READY = "ready"


@app.command()
@guarded
def probe(
    question: Annotated[Question, typer.Argument(help="live: its event loop turns. ready: it takes work.")],
    *,
    run_dir: RunDir = "",
) -> None:
    """Ask the worker in this container how it is. Status 0 is good, 1 is not.

    It reads the heartbeat that `worker run` writes every second. An engine that is away makes no worker dead, and for a
    minute not even unready.
    """
    if not run_dir:
        raise CommandError(
            "E0513",
            f"it is not known where the worker leaves its heartbeat: {VARIABLE} is not set",
            advice="set it for `worker run` and for this command to the same directory",
        )
    sys.exit(answer(question.value, run_dir))
