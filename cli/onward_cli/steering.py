"""`worker runs cancel`, `rerun`, `fork`, `pause` and `resume`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import typer
from onward import SyncClient
from onward.calls import BulkResult
from onward.lists import RunsWanted

from onward_cli.agreeing import check_said, tell
from onward_cli.arguments import RunId
from onward_cli.connected import connected, selecting
from onward_cli.errors import CommandError
from onward_cli.options import Output, Quiet, Yes
from onward_cli.output import Format, note, write_one
from onward_cli.send import read_json

OneRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's id; without one, those of the options.")]


@connected
@selecting
def cancel(
    client: SyncClient,
    wanted: RunsWanted,
    *,
    run: OneRun = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the run.")] = "",
    now: Annotated[bool, typer.Option("--now", help="Give its code no time to clean up.")] = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
    quiet: Quiet = False,
) -> None:
    """Ask to cancel a run, or all that the options name. Code may clean up first; `worker runs wait` tells when it is
    over.
    """
    if run is not None:
        _check_alone(wanted)
        client.cancel(run, reason=reason, cleanup="0s" if now else None)
        note(f"run {run} is being cancelled", quiet=quiet)
        return

    def change(dry_run: bool) -> BulkResult:
        cleanup = "0s" if now else None
        return client.cancel_many(reason=reason, cleanup=cleanup, dry_run=dry_run, **wanted)

    _change_many("cancel", wanted, change, is_agreed=yes, output=output)


@connected
@selecting
def rerun(
    client: SyncClient,
    wanted: RunsWanted,
    *,
    run: OneRun = None,
    request: Annotated[str, typer.Option("--request", help="The same request again starts nothing new.")] = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Start a run once more with the same input, or all that the options name. Prints the new run."""
    if run is not None:
        _check_alone(wanted)
        write_one({"id": client.rerun(run, key=request).id, "origin": run}, output)
        return

    def change(dry_run: bool) -> BulkResult:
        return client.rerun_many(request=request, dry_run=dry_run, **wanted)

    _change_many("start again", wanted, change, is_agreed=yes, output=output)


@connected
def fork(
    client: SyncClient,
    run: RunId,
    *,
    step: Annotated[str, typer.Option("--from", metavar="STEP", help="The first step that is done again: its key.")],
    input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Another input: JSON, or @file, or - for stdin.")
    ] = None,
    request: Annotated[str, typer.Option("--request", help="The same request again starts nothing new.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Start a new run that keeps what this one had done before a step. Prints the new run."""
    if input is None:
        handle = client.fork(run, step, key=request)
    else:
        handle = client.fork(run, step, client.get_run(run).function, read_json(input), key=request)
    write_one({"id": handle.id, "origin": run}, output)


@connected
def pause(client: SyncClient, run: RunId, *, quiet: Quiet = False) -> None:
    """Hold a run: its running steps end, and its code goes no further until it is resumed."""
    client.pause(run)
    note(f"run {run} is held; let it go on: worker runs resume {run}", quiet=quiet)


@connected
def resume(client: SyncClient, run: RunId, *, quiet: Quiet = False) -> None:
    """Let a held run go on."""
    client.resume(run)
    note(f"run {run} goes on", quiet=quiet)


def _check_alone(wanted: RunsWanted) -> None:
    if wanted:
        raise CommandError("E0509", "a run and options that name others", advice="give the run's id alone, or no run")


def _change_many(
    what: Literal["cancel", "start again"],
    wanted: RunsWanted,
    change: Callable[[bool], BulkResult],
    *,
    is_agreed: bool,
    output: Format,
) -> None:
    check_said(wanted)
    tell(what, change(not is_agreed), is_agreed=is_agreed, output=output)
