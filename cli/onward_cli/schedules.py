"""`worker schedules`: what the clock starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from onward import SyncClient
from onward.timetable import ScheduleRecord

from onward_cli.agreeing import check_agreed
from onward_cli.arguments import FunctionId, Limit
from onward_cli.connected import connected, moment, moment_of
from onward_cli.lines import clock_time
from onward_cli.options import Output, Quiet, Watch, Yes
from onward_cli.output import Format, note, plain, write_rows
from onward_cli.paging import listed
from onward_cli.repeating import repeat

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_COLUMNS = ("function", "number", "expression", "tz", "next", "last", "state")

Number = Annotated[
    int, typer.Option("--number", "-n", min=0, help="Which of the function's schedules; the first has the number 0.")
]


@app.callback()
def schedules() -> None:
    """List schedules, pause one, make up for ticks of the past."""


@app.command("list")
@connected
def list_schedules(
    client: SyncClient,
    *,
    function: Annotated[str | None, typer.Option("--function", help="Schedules of this function.")] = None,
    limit: Limit = 50,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> None:
    """List schedules, by function."""

    def ask(count: int, cursor: str | None) -> tuple[Sequence[ScheduleRecord], str | None]:
        page = client.list_schedules(function=function, limit=count, cursor=cursor)
        return page.schedules, page.cursor

    def show() -> None:
        found = listed(ask, limit)
        if output is Format.TABLE:
            write_rows([_line(one) for one in found], output, _COLUMNS)
        else:
            write_rows([{"id": f"{one.function}#{one.number}", **plain(one)} for one in found], output, ())

    repeat(show, is_watching=watch)


@app.command()
@connected
def pause(client: SyncClient, function: FunctionId, *, number: Number = 0, quiet: Quiet = False) -> None:
    """Let a schedule rest. The ticks of this time are not made up for: see `backfill`."""
    client.pause_schedule(function, number)
    note(f"schedule {number} of {function} rests; go on: worker schedules resume {function}", quiet=quiet)


@app.command()
@connected
def resume(client: SyncClient, function: FunctionId, *, number: Number = 0, quiet: Quiet = False) -> None:
    """Let a schedule tick again, from now on."""
    record = client.resume_schedule(function, number)
    next_at = "" if record.next_at_ms is None else f", next at {clock_time(record.next_at_ms)}"
    note(f"schedule {number} of {function} ticks again{next_at}", quiet=quiet)


@app.command()
@connected
def backfill(
    client: SyncClient,
    function: FunctionId,
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", callback=moment_of, help="Ticks from then on: 2d (ago) or a time.")
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", callback=moment_of, help="Ticks before; default: now.")
    ] = "0s",
    number: Number = 0,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Start the runs of past ticks that have none. May be repeated: no tick gets a second run."""
    begin, end = _datetime(since), _datetime(until)
    ticks = client.backfill(function, number, from_=begin, until=end, dry_run=not yes)
    rows = [{"id": tick.run, "at": tick.at.isoformat(), "new": tick.is_new} for tick in ticks]
    write_rows(rows, output, ("at", "id", "new"))
    check_agreed("start", sum(tick.is_new for tick in ticks), is_agreed=yes)


def _datetime(text: str) -> datetime:
    found = moment(text)
    assert found is not None, "the option was checked"
    return found


def _line(one: ScheduleRecord) -> dict[str, Any]:
    return {
        "function": one.function,
        "number": one.number,
        "expression": one.expression,
        "tz": one.tz,
        "next": "" if one.next_at_ms is None else clock_time(one.next_at_ms),
        "last": "" if one.last_at_ms is None else clock_time(one.last_at_ms),
        "state": "paused" if one.is_paused else "active",
    }
