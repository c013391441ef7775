"""`worker runs`: what runs there are, what became of them, and what to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from onward import SyncClient
from onward.calls import RunRecord
from onward.lists import RunsWanted

from onward_cli import explaining, following, steering
from onward_cli.arguments import Limit, RunId
from onward_cli.connected import connected, selecting
from onward_cli.errors import CommandError
from onward_cli.exits import Exit
from onward_cli.lines import LINE_COLUMNS, STEP_COLUMNS, error_text, run_fields, run_line, step_line
from onward_cli.options import Output, Quiet, Watch
from onward_cli.output import Format, note, plain, write_one, write_rows, write_value
from onward_cli.paging import Ask, listed
from onward_cli.repeating import repeat

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def runs() -> None:
    """List runs, show one, follow it, wait for its end, change it."""


@app.command("list")
@connected
@selecting
def list_runs(
    client: SyncClient,
    wanted: RunsWanted,
    *,
    limit: Limit = 50,
    output: Output = Format.TABLE,
    watch: Watch = False,
    quiet: Quiet = False,
) -> None:
    """List runs, newest first."""

    def show() -> None:
        unclear: list[int] = []
        found = listed(asked(client, wanted, unclear), limit)
        if output is Format.TABLE:
            write_rows([run_line(run) for run in found], output, LINE_COLUMNS)
        else:
            write_rows([run_fields(run) for run in found], output, ())
        if sum(unclear):
            note(f"note: for {sum(unclear)} more runs the expression cannot be evaluated", quiet=quiet)

    repeat(show, is_watching=watch)


@app.command()
@connected
def show(client: SyncClient, run: RunId, *, output: Output = Format.TABLE) -> None:
    """Show a run and its steps."""
    record, steps = client.get_run(run), client.steps(run)
    if output is not Format.TABLE:
        write_one({**plain(record), "history": [plain(step) for step in steps]}, output)
        return
    more = {
        "strikes": f"{record.strikes} workers died under it without progress" if record.strikes else None,
        "tags": record.tags or None,
        "origin": record.origin,
        "waiting for": record.waiting_for,
        "progress": record.progress,
        "cancelled": record.cancel_reason,
        "skipped": record.skip_reason,
    }
    told = {name: value for name, value in more.items() if value is not None}
    write_one({**run_line(record), **told, "output": record.output, "error": error_text(record)}, output)
    print()
    due = {} if record.is_over else {one.key: one.due_at_ms for one in client.why(run).awaited}
    write_rows([step_line(step, due.get(step.key)) for step in steps], output, STEP_COLUMNS)


@app.command()
@connected
def wait(
    client: SyncClient,
    run: RunId,
    *,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Give up after so long, such as 30s or 5m.")] = None,
    output: Output = Format.JSON,
) -> None:
    """Wait until a run is over and print its output. Exit status: 0 completed, 1 not completed, 7 timed out."""
    from onward.config import option_ms

    timeout_ms = None if timeout is None else option_ms("worker runs wait", "--timeout", timeout)
    record = client.wait(run, timeout=None if timeout_ms is None else timeout_ms / 1000)
    check_completed(record)
    if output is Format.ID:
        print(record.id)
    else:
        write_value(record.output, output)


def check_completed(record: RunRecord) -> None:
    """Raise `CommandError` with status 1 for a run that was over before it completed."""
    if record.status != "completed":
        failed = record.error is not None
        what = f"run {record.id} failed: {error_text(record)}" if failed else f"run {record.id} was {record.status}"
        if record.skip_reason:
            what += f": {record.skip_reason}"
        advice = f"look at its steps: worker runs show {record.id}"
        raise CommandError("E0303", what, advice=advice, status=Exit.RUN_FAILED)


def asked(client: SyncClient, wanted: RunsWanted, unclear: list[int]) -> Ask[RunRecord]:
    """Return what lists runs, newest first, and notes how many each page leaves out as `unclear`."""

    def ask(count: int, cursor: str | None) -> tuple[Sequence[RunRecord], str | None]:
        page = client.list_runs(limit=count, cursor=cursor, **wanted)
        unclear.append(page.unclear)
        return page.runs, page.cursor

    return ask


for _command in (explaining.why, following.tail, following.trace, following.export):
    app.command()(_command)
for _command in (steering.cancel, steering.rerun, steering.fork, steering.pause, steering.resume):
    app.command()(_command)
