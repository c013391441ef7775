"""`worker runs tail`, `trace` and `export`: what a run does, as it does it and afterwards."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import datetime
from typing import Annotated

import typer
from onward import SyncClient
from onward.calls import RunRecord, StepRecord
from onward.errors import EngineRefused
from onward.lists import RunsWanted

from onward_cli.agreeing import check_said
from onward_cli.arguments import LINES_MAX, RunId
from onward_cli.connected import connected, selecting
from onward_cli.options import Output, Quiet
from onward_cli.output import Format, note, plain, printable
from onward_cli.paging import listed

CHILDREN_MAX = 50
"""So many runs that a run has started are asked for."""


@connected
def tail(client: SyncClient, run: RunId, *, output: Output = Format.TABLE, quiet: Quiet = False) -> None:
    """Show each step of a run as it finishes, until the run is over.

    Exit status: 0 completed, 1 not completed.
    """
    from onward_cli.runs import check_completed

    for step in client.follow(run):
        _show_step(step, output)
        sys.stdout.flush()
    record = client.get_run(run)
    if record.status == "completed":
        note(f"run {run} completed", quiet=quiet)
    check_completed(record)


@connected
def trace(
    client: SyncClient,
    run: RunId,
    *,
    width: Annotated[
        int | None, typer.Option("--width", min=40, max=400, help="Columns; default: the terminal's.")
    ] = None,
) -> None:
    """Draw a run as a waterfall: its time in the queue, its steps, sleeps, waits and the runs that it started."""
    from onward_cli.trace import bars_of, draw

    record, steps = client.get_run(run), client.steps(run)
    columns = width or shutil.get_terminal_size((100, 24)).columns
    bars = bars_of(record, steps, _children(client, run, steps))
    is_plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    for line in draw(record, bars, now_ms=round(time.time() * 1000), width=columns, is_plain=is_plain):
        print(line)


@connected
@selecting
def export(
    client: SyncClient,
    wanted: RunsWanted,
    *,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id; without one, those of the options.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, max=LINES_MAX, help="At most so many.")] = None,
) -> None:
    """Write runs with their histories as JSON lines, newest first."""
    if run is None:
        check_said(wanted)
    for id in [run] if run is not None else _ids(client, wanted, limit):
        try:
            record, steps = client.get_run(id), client.steps(id)
        except EngineRefused as error:
            if run is None and error.code == "unknown_run":
                continue  # it was deleted meanwhile, being old
            raise
        print(json.dumps({**plain(record), "history": [plain(step) for step in steps]}, ensure_ascii=False))


def _ids(client: SyncClient, wanted: RunsWanted, limit: int | None) -> list[str]:
    from onward_cli.runs import asked

    return [run.id for run in listed(asked(client, wanted, []), limit)]


def _children(client: SyncClient, run: str, steps: tuple[StepRecord, ...]) -> list[RunRecord]:
    from onward_protocol.ids import derived_id

    found: list[RunRecord] = []
    for step in [step for step in steps if step.kind in {"invoke", "start"}][:CHILDREN_MAX]:
        try:
            found.append(client.get_run(derived_id("run", run, step.key)))
        except EngineRefused as error:
            if error.code != "unknown_run":
                raise
    return found


def _show_step(step: StepRecord, output: Format) -> None:
    match output:
        case Format.TABLE:
            at = datetime.fromtimestamp(step.at_ms / 1000).astimezone() if step.at_ms else datetime.now().astimezone()
            parts = [at.isoformat(timespec="milliseconds")[11:23], f"{step.status:<9}", f"{step.kind:<8}", step.key]
            parts += [f"{step.took_ms}ms"] if step.took_ms else []
            parts += [f"attempt {step.attempts}"] if step.attempts > 1 else []
            parts += [step.about] if step.about else []
            parts += [f"{step.error.type}: {step.error.message}"] if step.error is not None else []
            print(printable("  ".join(parts)))
        case Format.ID:
            print(step.key)
        case _:
            print(json.dumps(plain(step), ensure_ascii=False))
