"""`worker engine`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onward_cli import database, promotion, tls_options
from onward_cli.errors import guarded
from onward_cli.logs import LogFormat
from onward_cli.options import BusyPoll, LogFormatOption, Verbose

if TYPE_CHECKING:
    from onward_engine import Engine

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


def _duration(text: str) -> str:
    from onward.durations import duration_ms

    try:
        duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write it like 30d, 12h or 90m") from error
    return text


def _url(text: str) -> str:
    from onward.errors import ConfigError
    from onward.settings import Settings

    try:
        return Settings.read({}, url=text).url if text else ""
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


@app.callback()
def engine() -> None:
    """Run the engine, which keeps events, runs and results, and look after its database."""


@app.command()
@guarded
def start(
    *,
    db: Annotated[
        str,
        typer.Option(
            "--db",
            envvar="ONWARD_DB",
            callback=database.place,
            help="A SQLite file, or postgresql://user:password@host/name, which any number of engines may share.",
        ),
    ] = database.DEFAULT,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--admin-token-file",
            envvar="ONWARD_ADMIN_TOKEN_FILE",
            help="The admin token, made if there is none; default: beside the SQLite file, or in .onward. "
            "Engines that share a database need the same.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", envvar="ONWARD_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar="ONWARD_PORT", min=0, max=65535, help="Port to listen on; 0 picks one.")
    ] = 8484,
    tls_cert: tls_options.Cert = None,
    tls_key: tls_options.Key = None,
    tls_client_ca: tls_options.ClientCa = None,
    public_url: Annotated[
        str,
        typer.Option(
            "--public-url",
            envvar="ONWARD_PUBLIC_URL",
            callback=_url,
            help="Where others reach this engine, for the addresses of callbacks; default: where its workers do.",
        ),
    ] = "",
    retention: Annotated[
        str,
        typer.Option(
            "--retention",
            envvar="ONWARD_RETENTION",
            callback=_duration,
            help="Runs that ended longer ago are deleted, with their events; 0 keeps everything.",
        ),
    ] = "30d",
    busy_poll: BusyPoll = None,
    test_clock: Annotated[
        bool,
        typer.Option(
            "--test-clock",
            help="For tests: POST /v1/test/clock moves the time of day. Only on a loopback address.",
        ),
    ] = False,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    verbose: Verbose = False,
) -> None:
    """Start an engine. It asks workers and clients for a token, which it makes at the first start."""
    from onward_cli.extras import explained, need_engine, need_postgres
    from onward_cli.logs import configure_logs

    need_engine()
    is_postgres = database.is_postgres(db)
    if is_postgres:
        need_postgres()
    configure_logs(log_format, verbose=verbose)
    from onward import cgroup
    from onward.durations import duration_ms
    from onward_engine import Settings, serve

    file = Path(database.DEFAULT if is_postgres else db)
    settings = Settings(
        folder=file.parent,
        database_name=file.name,
        postgres=db if is_postgres else "",
        admin_token_file=token_file,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        public_url=public_url,
        retention_ms=duration_ms(retention),
        busy_poll=cgroup.has_spare_cpu() if busy_poll is None else busy_poll,
        test_clock=test_clock,
    )
    with explained():
        serve(settings, started=_show_banner)


for _command in (database.migrate, database.check, database.backup, promotion.promote):
    app.command()(_command)


def _show_banner(engine: Engine) -> None:
    from importlib.metadata import version

    lines = [
        f"onward {version('onward')} engine",
        f"address   {engine.url}",
        f"database  {engine.place}",
        f"token     {engine.settings.token_file}",
    ]
    if engine.is_token_new:
        lines.append(f"          {engine.token}  (new; shown this once)")
    print(*lines, sep="\n", file=sys.stderr)
