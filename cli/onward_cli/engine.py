"""`worker engine`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onward_cli.errors import guarded
from onward_cli.logs import LogFormat, LogFormatOption
from onward_cli.options import Verbose

if TYPE_CHECKING:
    from onward_engine import Engine

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def engine() -> None:
    """Run the engine, which keeps events, runs and results."""


@app.command()
@guarded
def start(
    *,
    db: Annotated[
        Path, typer.Option("--db", envvar="ONWARD_DB", help="The SQLite file; the admin token lies beside it.")
    ] = Path(".onward/onward.db"),
    host: Annotated[str, typer.Option("--host", envvar="ONWARD_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar="ONWARD_PORT", min=0, max=65535, help="Port to listen on; 0 picks one.")
    ] = 8484,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    verbose: Verbose = False,
) -> None:
    """Start an engine on a SQLite file. It asks workers and clients for a token, which it makes at the first start."""
    from onward_cli.extras import explained, need_engine
    from onward_cli.logs import configure_logs

    need_engine()
    configure_logs(log_format, verbose=verbose)
    from onward_engine import Settings, serve

    settings = Settings(folder=db.parent, database_name=db.name, host=host, port=port)
    with explained():
        serve(settings, started=_show_banner)


def _show_banner(engine: Engine) -> None:
    from importlib.metadata import version

    lines = [
        f"onward {version('onward')} engine",
        f"address   {engine.url}",
        f"database  {engine.settings.database}",
        f"token     {engine.settings.token_file}",
    ]
    if engine.is_token_new:
        lines.append(f"          {engine.token}  (new; shown this once)")
    print(*lines, sep="\n", file=sys.stderr)
