"""`worker runs`: what runs there are, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.options import Insecure, Output, TokenFile, Url, Verbose, client_of
from onward_cli.output import Format, Row, write_one, write_rows, write_value

if TYPE_CHECKING:
    from onward import SyncClient
    from onward.calls import RunRecord, RunStatus, StepRecord

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


def _named(run: str) -> str:
    """A script's unset variable must not ask for the list of all runs."""
    if not run:
        raise typer.BadParameter("a run's id is not empty")
    return run


RunId = Annotated[str, typer.Argument(metavar="RUN", callback=_named, help="The run's id.")]
COLUMNS = ("id", "function", "status", "attempt", "created", "took")


@app.callback()
def runs() -> None:
    """List runs, show one, wait for its end, cancel it."""


@app.command("list")
@guarded
def list_runs(
    *,
    function: Annotated[str | None, typer.Option("--function", help="Only runs of this function.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only runs in this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    output: Output = Format.TABLE,
    verbose: Verbose = False,
) -> None:
    """List runs, newest first."""
    with client_of(url, token_file, insecure=insecure) as client:
        found = list(islice(_pages(client, function, cast("RunStatus | None", status), limit), limit))
    if output is Format.TABLE:
        write_rows([_line(run) for run in found], output, COLUMNS)
    else:
        write_rows([_plain(run) for run in found], output, ())


@app.command()
@guarded
def show(
    run: RunId,
    *,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    output: Output = Format.TABLE,
    verbose: Verbose = False,
) -> None:
    """Show a run and its steps."""
    with client_of(url, token_file, insecure=insecure) as client:
        record, steps = client.get_run(run), client.steps(run)
    if output is Format.TABLE:
        write_one({**_line(record), **_strikes(record), "output": record.output, "error": _error(record)}, output)
        print()
        write_rows([_plain(step) for step in steps], output, ("key", "kind", "status", "attempts", "took_ms"))
    else:
        write_one({**_plain(record), "history": [_plain(step) for step in steps]}, output)


@app.command()
@guarded
def wait(
    run: RunId,
    *,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Give up after so long, such as 30s or 5m.")] = None,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    output: Output = Format.JSON,
    verbose: Verbose = False,
) -> None:
    """Wait until a run is over and print its output. Exit status: 0 completed, 1 failed or cancelled, 7 timed out."""
    from onward.config import option_ms

    timeout_ms = None if timeout is None else option_ms("worker runs wait", "--timeout", timeout)
    with client_of(url, token_file, insecure=insecure) as client:
        record = client.wait(run, timeout=None if timeout_ms is None else timeout_ms / 1000)
    if record.status != "completed":
        what = f"run {run} was {record.status}" if record.error is None else f"run {run} failed: {_error(record)}"
        raise CommandError("E0303", what, advice=f"look at its steps: worker runs show {run}", status=Exit.RUN_FAILED)
    if output is Format.ID:
        print(record.id)
    else:
        write_value(record.output, output)


@app.command()
@guarded
def cancel(
    run: RunId,
    *,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    verbose: Verbose = False,
) -> None:
    """Ask to cancel a run. Its code may clean up first; `worker runs wait` tells when it is over."""
    with client_of(url, token_file, insecure=insecure) as client:
        client.cancel(run)


def _pages(client: SyncClient, function: str | None, status: RunStatus | None, limit: int) -> Iterator[RunRecord]:
    """The engine gives a page at a time, however many are asked for."""
    cursor = None
    while True:
        page = client.list_runs(function=function, status=status, limit=limit, cursor=cursor)
        yield from page.runs
        if (cursor := page.cursor) is None:
            return


def _plain(record: RunRecord | StepRecord) -> Row:
    from msgspec import to_builtins

    return cast("Row", to_builtins(record))


def _line(run: RunRecord) -> dict[str, Any]:
    return {
        "id": run.id,
        "function": run.function,
        "status": run.status,
        "attempt": run.attempt,
        "created": _clock_time(run.created_at_ms),
        "took": _took(run),
    }


def _strikes(run: RunRecord) -> Row:
    return {"strikes": f"{run.strikes} workers died under it without progress"} if run.strikes else {}


def _clock_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(sep=" ", timespec="seconds")


def _took(run: RunRecord) -> str:
    if run.started_at_ms is None or run.ended_at_ms is None:
        return ""
    return f"{(run.ended_at_ms - run.started_at_ms) / 1000:.2f}s"


def _error(record: RunRecord) -> str | None:
    return None if record.error is None else f"{record.error.type}: {record.error.message}"
