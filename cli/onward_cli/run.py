"""`worker run`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onward_cli.errors import CommandError, guarded
from onward_cli.exits import Exit
from onward_cli.logs import LogFormat, LogFormatOption
from onward_cli.options import CheckpointText, Insecure, RunDir, TokenFile, Url, Verbose, settings_of

if TYPE_CHECKING:
    from onward.worker import Worker

    from onward_cli.heart import Heart

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Apps = Annotated[
    list[str], typer.Argument(metavar="APP...", help="module:attribute of an App or a list of functions, or a module.")
]


@app.command()
@guarded
def run(
    apps: Apps,
    *,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", envvar="ONWARD_CONCURRENCY", min=1, max=10_000, help="Runs at a time.")
    ] = 100,
    drain_timeout: Annotated[
        str, typer.Option("--drain-timeout", envvar="ONWARD_DRAIN_TIMEOUT", help="Time for running steps at the end.")
    ] = "25s",
    park_ttl: Annotated[
        str, typer.Option("--park-ttl", envvar="ONWARD_PARK_TTL", help="How long a waiting run stays in memory.")
    ] = "10m",
    checkpoint: CheckpointText = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", envvar="ONWARD_LABEL", help="name=value, shown with the worker.")
    ] = None,
    connection_age: Annotated[
        str,
        typer.Option(
            "--max-connection-age", envvar="ONWARD_MAX_CONNECTION_AGE", help="When to move to the next connection."
        ),
    ] = "1h",
    stall_limit: Annotated[
        str,
        typer.Option("--stall-limit", envvar="ONWARD_STALL_LIMIT", help="How long a blocked worker keeps its runs."),
    ] = "2m",
    supervise: Annotated[
        bool,
        typer.Option(
            "--supervise/--no-supervise",
            envvar="ONWARD_SUPERVISE",
            help="Watch over the worker from a process above it. Without, a debugger can read the terminal.",
        ),
    ] = True,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    run_dir: RunDir = "",
    log_format: LogFormatOption = LogFormat.CONSOLE,
    verbose: Verbose = False,
) -> None:
    """Run functions: dial out to the engine, take runs, send their steps. Opens no port.

    SIGTERM and Ctrl-C let the running steps finish and hand their runs back; a second one stops at once.
    """
    from onward.config import option_ms

    from onward_cli.loading import load
    from onward_cli.logs import configure_logs
    from onward_cli.loops import leave, run_loop
    from onward_cli.supervised import take_supervisor, watch_for

    configure_logs(log_format, verbose=verbose)
    from onward_cli.heart import Heart

    heart = Heart(run_dir) if run_dir else None
    targets = [load(target) for target in apps]
    worker = _worker(
        targets[0] if len(targets) == 1 else targets,
        url=url,
        token=settings_of(url, token_file).token if token_file else None,
        concurrency=concurrency,
        drain_timeout=drain_timeout,
        park_ttl=park_ttl,
        checkpoint=checkpoint,
        labels=_labels(label or []),
        connection_age=connection_age,
        insecure=insecure,
    )
    if supervisor := take_supervisor():
        worker.watch = watch_for(
            supervisor, worker, option_ms("worker run", "--stall-limit", stall_limit), log_format, verbose=verbose
        )
    if log_format is LogFormat.CONSOLE:
        _show_banner(worker, concurrency)
    if with_parent:
        Thread(target=_end_with_parent, daemon=True).start()
    run_loop(_serve(worker, heart))
    leave(Exit.OK)


def _worker(target: Any, **options: Any) -> Worker:
    from onward.app import App
    from onward.worker import Worker

    worker = Worker(target, **options)
    apps = {function.app for function in worker.functions.values()}
    for app in {*apps, target} if isinstance(target, App) else apps:
        app.check()
    return worker


async def _serve(worker: Worker, heart: Heart | None) -> None:
    import asyncio

    import structlog

    from onward_cli.loops import Signals, leave_now

    log = structlog.get_logger("onward.worker")

    def finish(number: int) -> None:
        log.info("finishing the running steps; once more to stop at once")
        worker.stop()

    async def give_up(number: int) -> None:
        worker.stop(drain=False)
        await worker.gone()
        leave_now(128 + number)

    tasks: set[asyncio.Task[None]] = set()
    Signals(finish, lambda number: tasks.add(asyncio.create_task(give_up(number))))
    async with heart.beating(worker) if heart else nullcontext():
        await worker.run()


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its worker, but its end of our stdin closes."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _labels(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [pair for pair, (name, equals, _) in zip(pairs, split, strict=True) if not (name and equals)]:
        raise CommandError("E0508", f"the label {wrong[0]!r} is not name=value", advice="write --label region=eu")
    return {name: value for name, _, value in split}


def _show_banner(worker: Worker, concurrency: int) -> None:
    from importlib.metadata import version

    names = sorted(worker.functions)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    print(
        f"onward {version('onward')} worker {worker.instance}",
        f"engine     {worker.url}",
        f"functions  {shown}",
        f"slots      {concurrency}",
        sep="\n",
        file=sys.stderr,
    )
