"""`worker dev`: engine, worker and reload in one command, for one person on one machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from onward_cli.arguments import Apps
from onward_cli.errors import guarded
from onward_cli.options import BusyPoll, CheckpointText, Verbose
from onward_cli.process_options import Concurrency, slots_of

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@guarded
def dev(
    apps: Apps,
    *,
    port: Annotated[
        int, typer.Option("--port", envvar="ONWARD_PORT", min=0, max=65535, help="Port of the engine; 0 picks one.")
    ] = 8484,
    concurrency: Concurrency = "100",
    checkpoint: CheckpointText = None,
    busy_poll: BusyPoll = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Start the worker again when a Python file changes.")
    ] = True,
    verbose: Verbose = False,
) -> None:
    """Start an engine and a worker here, and the worker again whenever a file changes.

    Everything is kept in ./.onward/, so runs go on after a reload and after a restart. Nobody is asked for a token;
    only this machine can connect.
    """
    from onward_cli.extras import explained, need_engine
    from onward_cli.loading import parse
    from onward_cli.logs import LogFormat, configure_logs
    from onward_cli.loops import leave, run_loop

    need_engine()
    configure_logs(LogFormat.CONSOLE, verbose=verbose)
    from onward import cgroup
    from onward.checkpoint import worker_checkpoint

    from onward_cli.workshop import Workshop

    for target in apps:
        parse(target)
    worker_checkpoint(checkpoint, os.environ)  # what is wrong is found now, and not by every worker that starts
    slots_of(concurrency, cgroup.cpus(), cgroup.memory_bytes(), processes=1)
    arguments = [*apps, "--concurrency", concurrency, *(["--verbose"] if verbose else [])]
    arguments += ["--checkpoint", checkpoint] if checkpoint is not None else []
    stays_awake = cgroup.has_spare_cpu() if busy_poll is None else busy_poll
    arguments.append("--busy-poll" if stays_awake else "--no-busy-poll")
    with explained():
        status = run_loop(Workshop(arguments, port=port, is_reloading=reload, busy_poll=stays_awake).run())
    leave(status)
