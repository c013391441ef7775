"""`worker workers`: who is connected."""

from __future__ import annotations

from typing import Any

import typer
from onward import SyncClient
from onward.calls import WorkerRecord

from onward_cli.connected import connected
from onward_cli.lines import clock_time
from onward_cli.options import Output, Watch
from onward_cli.output import Format, plain, write_rows
from onward_cli.repeating import repeat

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_COLUMNS = ("id", "apps", "slots", "free", "held", "state", "connected", "labels")


@app.callback()
def workers() -> None:
    """See who is connected."""


@app.command("list")
@connected
def list_workers(client: SyncClient, *, output: Output = Format.TABLE, watch: Watch = False) -> None:
    """List the workers that are connected to this engine."""

    def show() -> None:
        found = client.list_workers()
        if output is Format.TABLE:
            write_rows([_line(one) for one in found], output, _COLUMNS)
        else:
            write_rows([{"id": one.instance, **plain(one)} for one in found], output, ())

    repeat(show, is_watching=watch)


def _line(one: WorkerRecord) -> dict[str, Any]:
    return {
        "id": one.instance,
        "apps": ", ".join(one.apps),
        "slots": one.slots,
        "free": one.free,
        "held": one.held,
        "state": "draining" if one.draining else "ready",
        "connected": clock_time(one.connected_at_ms),
        "labels": " ".join(f"{name}={value}" for name, value in one.labels.items()),
    }
