"""`worker signals`: wake runs that wait for somebody."""

from __future__ import annotations

from typing import Annotated

import typer
from onward import SyncClient

from onward_cli.connected import connected
from onward_cli.options import Output
from onward_cli.output import Format, write_one
from onward_cli.send import read_json

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def signals() -> None:
    """Send signals to runs."""


@app.command()
@connected
def send(
    client: SyncClient,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
    data: Annotated[str, typer.Argument(help="Its value as JSON, or @file, or - for stdin.")] = "null",
    *,
    run: Annotated[str, typer.Option("--run", help="The run; without it the oldest that waits for this name.")] = "",
    id: Annotated[str, typer.Option("--id", help="The same id again within a day changes nothing.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Send a signal. Prints the run that has it; one that does not wait yet finds it when it does."""
    found = client.signal(name, read_json(data), run=run, id=id)
    write_one({"id": found, "signal": name}, output)
