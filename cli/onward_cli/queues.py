"""`worker queues`: how much waits for what, and the limits that can be set while everything runs."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from onward import SyncClient
from onward.queues import KeyRecord, LimitName, LimitRecord, QueueRecord

from onward_cli.agreeing import tell
from onward_cli.arguments import FunctionId, Limit
from onward_cli.connected import connected
from onward_cli.errors import CommandError
from onward_cli.lines import clock_time
from onward_cli.options import Output, Quiet, Watch, Yes
from onward_cli.output import Format, note, plain, write_one, write_rows
from onward_cli.paging import listed
from onward_cli.repeating import repeat

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_KEYS_PAGE = 50
_COLUMNS = ("function", "waiting", "ready", "later", "limited", "held", "gathering", "oldest", "state")
_KEY_COLUMNS = ("option", "value", "waiting", "taken", "limit", "held by")


@app.callback()
def queues() -> None:
    """See what waits and for what, purge it, set limits."""


@app.command("list")
@connected
def list_queues(client: SyncClient, *, limit: Limit = 50, output: Output = Format.TABLE, watch: Watch = False) -> None:
    """List the queues of all functions, by function."""

    def ask(count: int, cursor: str | None) -> tuple[Sequence[QueueRecord], str | None]:
        page = client.list_queues(limit=count, cursor=cursor)
        return page.queues, page.cursor

    def show() -> None:
        found = listed(ask, limit)
        if output is Format.TABLE:
            write_rows([_line(one) for one in found], output, _COLUMNS)
        else:
            write_rows([_fields(one) for one in found], output, ())

    repeat(show, is_watching=watch)


@app.command()
@connected
def show(client: SyncClient, function: FunctionId, *, output: Output = Format.TABLE) -> None:
    """Show the queue of a function: how much waits, and its limits with what the code says and what was set."""
    record = client.get_queue(function)
    if output is not Format.TABLE:
        write_one({"id": record.function, **plain(record)}, output)
        return
    told = {name: value for name, value in _line(record).items() if value not in ("", 0)}
    limits = {one.option: limit_text(one) for one in record.limits}
    rest = {name: value for name, value in record.options.items() if name not in limits and name != "concurrency"}
    write_one({**told, **limits, **rest}, output)


@app.command()
@connected
def keys(client: SyncClient, function: FunctionId, *, limit: Limit = 50, output: Output = Format.TABLE) -> None:
    """List the values of keys for which runs of a function wait, or by which they take turns."""

    def ask(count: int, cursor: str | None) -> tuple[Sequence[KeyRecord], str | None]:
        page = client.list_keys(function, limit=count, cursor=cursor)
        return page.keys, page.cursor

    found = listed(ask, limit, _KEYS_PAGE)
    if output is Format.TABLE:
        write_rows([_key_line(one) for one in found], output, _KEY_COLUMNS)
    else:
        write_rows([{"id": one.key, **plain(one)} for one in found], output, ())


@app.command()
@connected
def purge(
    client: SyncClient,
    function: FunctionId,
    *,
    key: Annotated[
        str, typer.Option("--key", help="Only runs with this value of a limit's key, or of their event.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the runs.")] = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Cancel the runs of a function that have not begun."""
    found = client.purge_queue(function, key=key, reason=reason, dry_run=not yes)
    tell("cancel", found, is_agreed=yes, output=output)


@app.command("set-limit")
@connected
def set_limit(
    client: SyncClient,
    function: FunctionId,
    option: Annotated[
        str, typer.Argument(metavar="OPTION", help="concurrency (or concurrency:1, the second), throttle, rate_limit.")
    ],
    limit: Annotated[
        int | None, typer.Argument(metavar="[LIMIT]", help="How much from now on, whatever the code says.")
    ] = None,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="Let what the code says count again.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who wants it, for the record; default: you, here.")] = None,
    output: Output = Format.TABLE,
    quiet: Quiet = False,
) -> None:
    """Set a limit of a function, at once and for good; or set it back with --reset."""
    if (limit is None) != reset:
        raise CommandError(
            "E0511", "say what the limit is to be", advice="give a number, or --reset for what the code says"
        )
    record = client.set_limit(function, cast("LimitName", option), limit, by=_whoami() if by is None else by)
    if output is Format.TABLE:
        note(f"{record.option} of {function} is {limit_text(record)}", quiet=quiet)
    else:
        write_one({"id": record.option, **plain(record)}, output)


def limit_text(one: LimitRecord) -> str:
    """Return a limit, what the code says, and who has set it."""
    if one.override is None:
        return f"{one.limit} (as in the code)"
    change = one.changes[0] if one.changes else None
    who = f" by {change.by}" if change and change.by else ""
    when = f" at {clock_time(change.at_ms)}" if change else ""
    return f"{one.limit} (set{who}{when}; the code says {one.declared})"


def _whoami() -> str:
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (OSError, KeyError):  # a container without a name for its user
        return platform.node()


def _line(one: QueueRecord) -> dict[str, Any]:
    return {
        "function": one.function,
        "waiting": one.waiting,
        "ready": one.ready,
        "later": one.later,
        "limited": one.limited,
        "held": one.held,
        "gathering": one.gathering,
        "oldest": "" if one.oldest_at_ms is None else clock_time(one.oldest_at_ms),
        "state": "paused" if one.is_paused else "active",
    }


def _fields(one: QueueRecord) -> dict[str, Any]:
    fields = {name: value for name, value in plain(one).items() if name not in ("limits", "options")}
    return {"id": one.function, **fields}


def _key_line(one: KeyRecord) -> dict[str, Any]:
    return {
        "option": one.option,
        "value": one.value,
        "waiting": one.waiting,
        "taken": "" if one.option == "fair" else one.taken,
        "limit": "" if one.limit is None else one.limit,
        "held by": ", ".join(one.holders),
    }
