"""`worker functions`: what workers offer, and how it does."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from msgspec import convert
from onward import NotConnected, SyncClient
from onward.lists import FunctionRecord
from onward.queues import LimitRecord

from onward_cli.arguments import FunctionId
from onward_cli.connected import connected
from onward_cli.options import Output, Quiet, Watch
from onward_cli.output import Format, note, plain, write_one, write_rows, write_value
from onward_cli.queues import limit_text
from onward_cli.repeating import repeat
from onward_cli.runs import check_completed
from onward_cli.send import read_json

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_COLUMNS = ("id", "version", "starts at", "concurrency", "state")
_ALONE = frozenset(
    {"conditions", "cancel_rules", "start_timeout_ms", "finish_timeout_ms", "ticks", "recent", "limits", "options"}
)


@app.callback()
def functions() -> None:
    """List functions, show one, start it, pause it."""


@app.command("list")
@connected
def list_functions(client: SyncClient, *, output: Output = Format.TABLE, watch: Watch = False) -> None:
    """List the functions that workers have registered."""

    def show() -> None:
        found = client.list_functions()
        rows = [_line(one) for one in found] if output is Format.TABLE else [_fields(one) for one in found]
        write_rows(rows, output, _COLUMNS)

    repeat(show, is_watching=watch)


@app.command()
@connected
def show(client: SyncClient, function: FunctionId, *, output: Output = Format.TABLE) -> None:
    """Show a function: what starts it, how it is set, and how its newest runs do."""
    record = client.get_function(function)
    if output is not Format.TABLE:
        write_one(plain(record), output)
        return
    told = {name: value for name, value in plain(record).items() if value not in (None, "", (), [], {}, False)}
    told = {name: value for name, value in told.items() if name not in ("concurrency", "limits", "options")}
    write_one({**told, **_options(record), "state": _state(record), "recent": _recent(record)}, output)


@app.command()
@connected
def invoke(
    client: SyncClient,
    function: FunctionId,
    data: Annotated[str, typer.Argument(help="Its input as JSON, or @file, or - for stdin.")] = "null",
    *,
    id: Annotated[str, typer.Option("--id", help="The same id again gives the first run instead of another.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end and print its output.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Wait so long at most, such as 30s.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Start a run of a function, and print its id; with --wait its output."""
    from onward.config import option_ms

    timeout_ms = None if timeout is None else option_ms("worker functions invoke", "--timeout", timeout)
    run = client.start(function, read_json(data), key=id).id
    if not wait:
        write_one({"id": run, "function": function}, output)
        return
    try:
        record = client.wait(run, timeout=None if timeout_ms is None else timeout_ms / 1000)
    except (KeyboardInterrupt, NotConnected):
        note(f"run {run} goes on; wait for it: worker runs wait {run}", quiet=False)
        raise
    check_completed(record)
    write_value(record.output, Format.JSON if output is Format.TABLE else output)


@app.command()
@connected
def pause(client: SyncClient, function: FunctionId, *, quiet: Quiet = False) -> None:
    """Begin no new runs of a function; they are kept, and those that have started go on."""
    client.pause_function(function)
    note(f"function {function} begins no runs; go on: worker functions resume {function}", quiet=quiet)


@app.command()
@connected
def resume(client: SyncClient, function: FunctionId, *, quiet: Quiet = False) -> None:
    """Begin new runs of a function again."""
    client.resume_function(function)
    note(f"function {function} begins runs again", quiet=quiet)


def _options(one: FunctionRecord) -> dict[str, Any]:
    limits = convert(one.limits, tuple[LimitRecord, ...])
    return {**one.options, **{f"limit {limit.option}": limit_text(limit) for limit in limits}}


def _line(one: FunctionRecord) -> dict[str, Any]:
    limits = [f"{limit['limit']}{' by ' + limit['key'] if limit.get('key') else ''}" for limit in one.concurrency]
    return {
        "id": one.id,
        "version": one.version,
        "starts at": ", ".join([*one.triggers, *one.schedules]),
        "concurrency": ", ".join(limits),
        "state": _state(one),
    }


def _fields(one: FunctionRecord) -> dict[str, Any]:
    return {name: value for name, value in plain(one).items() if name not in _ALONE}


def _state(one: FunctionRecord) -> str:
    return "paused" if one.paused else "active"


def _recent(one: FunctionRecord) -> str:
    counts: dict[str, int] = one.recent.get("by_status", {})
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{one.recent.get('runs', 0)} runs" + (f": {told}" if told else "")
