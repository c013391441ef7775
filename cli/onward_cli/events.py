"""`worker events`: what events came in, and what they started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from onward import SyncClient
from onward.lists import EventLine
from onward.timetable import DelayedRecord

from onward_cli.arguments import EventId, Limit
from onward_cli.connected import connected, moment, moment_of
from onward_cli.lines import LINE_COLUMNS, clock_time, run_fields, run_line
from onward_cli.options import Output, Quiet, Watch
from onward_cli.output import Format, note, plain, write_one, write_rows
from onward_cli.paging import listed
from onward_cli.repeating import repeat

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_COLUMNS = ("id", "name", "key", "received", "runs")
_DELAYED_COLUMNS = ("id", "name", "key", "due")


@app.callback()
def events() -> None:
    """List events, show one with the runs that it started or joined."""


@app.command("list")
@connected
def list_events(
    client: SyncClient,
    *,
    name: Annotated[str, typer.Option("--name", help="Events of this name, or of names like 'shop/*'.")] = "",
    key: Annotated[str, typer.Option("--key", help="Events with this key.")] = "",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", callback=moment_of, help="Received then or later: 2h (ago) or a time."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", callback=moment_of, help="Received before.")
    ] = None,
    limit: Limit = 50,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> None:
    """List events, newest first."""
    wanted: dict[str, Any] = {"name": name, "key": key, "received_from": moment(since), "received_until": moment(until)}

    def ask(count: int, cursor: str | None) -> tuple[Sequence[EventLine], str | None]:
        page = client.list_events(limit=count, cursor=cursor, **wanted)
        return page.events, page.cursor

    def show() -> None:
        found = listed(ask, limit)
        rows = [_line(event) for event in found] if output is Format.TABLE else [plain(event) for event in found]
        write_rows(rows, output, _COLUMNS)

    repeat(show, is_watching=watch)


@app.command()
@connected
def delayed(
    client: SyncClient,
    *,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the events that are not due yet, by id."""

    def ask(count: int, cursor: str | None) -> tuple[Sequence[DelayedRecord], str | None]:
        page = client.list_delayed_events(limit=count, cursor=cursor)
        return page.events, page.cursor

    found = listed(ask, limit)
    if output is Format.TABLE:
        write_rows([{**plain(one), "due": clock_time(one.due_at_ms)} for one in found], output, _DELAYED_COLUMNS)
    else:
        write_rows([plain(one) for one in found], output, ())


@app.command("take-back")
@connected
def take_back(client: SyncClient, event: EventId, *, quiet: Quiet = False) -> None:
    """Forget an event that is not due yet; its id may be used again."""
    client.take_back(event)
    note(f"event {event} does not come in", quiet=quiet)


@app.command()
@connected
def show(client: SyncClient, event: EventId, *, output: Output = Format.TABLE) -> None:
    """Show an event with its data, and the runs that it started or joined, newest first."""
    record = client.get_event(event)
    if output is not Format.TABLE:
        write_one({**plain(record), "runs": [run_fields(run) for run in record.runs]}, output)
        return
    fields: dict[str, Any] = {"id": record.id, "name": record.name, "key": record.key, "time": clock_time(record.ts_ms)}
    write_one({**fields, "meta": record.meta or None, "data": record.data}, output)
    print()
    write_rows([run_line(run) for run in record.runs], output, LINE_COLUMNS)


def _line(event: EventLine) -> dict[str, Any]:
    return {
        "id": event.id,
        "name": event.name,
        "key": event.key,
        "received": clock_time(event.received_at_ms),
        "runs": event.run_count,
    }
