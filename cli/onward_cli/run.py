"""`worker run`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onward_cli import process_options as processes_of
from onward_cli.arguments import Apps
from onward_cli.errors import CommandError, guarded, report
from onward_cli.exits import Exit
from onward_cli.logs import LogFormat
from onward_cli.options import BusyPoll, CheckpointText, Insecure, LogFormatOption, RunDir, TokenFile, Url, Verbose
from onward_cli.reaching import CaFile, ClientCert, ClientKey, Proxy

if TYPE_CHECKING:
    from collections.abc import Generator

    from onward.worker import Worker

    from onward_cli.supervised import Supervisor

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@guarded
def run(
    apps: Apps,
    *,
    url: Url = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    concurrency: processes_of.Concurrency = "100",
    processes: processes_of.Processes = 1,
    max_memory: processes_of.MaxMemory = "",
    burst: processes_of.Burst = False,
    burst_idle: processes_of.BurstIdle = "5s",
    max_runtime: processes_of.MaxRuntime = "",
    reload: processes_of.Reload = False,
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
    busy_poll: BusyPoll = None,
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
    from onward import cgroup
    from onward.config import limit_ms, option_ms

    from onward_cli.loading import load, parse
    from onward_cli.logs import configure_logs
    from onward_cli.loops import leave, run_loop
    from onward_cli.plan import Plan
    from onward_cli.supervised import take_supervisor, watch_for

    supervisor = take_supervisor()
    number = supervisor.number if supervisor else 0
    configure_logs(log_format, verbose=verbose, process=number if processes > 1 else None)
    plan = Plan(
        processes=processes,
        memory_max=processes_of.size_of(max_memory) if max_memory else 0,
        idle_max_ms=option_ms("worker run", "--burst-idle", burst_idle) if burst else None,
        runtime_max_ms=limit_ms("worker run", "--max-runtime", max_runtime or None),
        is_reloading=reload,
        is_bound=with_parent,
        log_format=log_format.value,
        is_verbose=verbose,
        memory_kills=cgroup.memory_kills(),
    )
    slots = processes_of.slots_of(concurrency, cgroup.cpus(), cgroup.memory_bytes(), processes)
    processes_of.check_memory_known(plan)
    for app_name in apps:
        parse(app_name)  # before anybody waits for other code
    if supervisor:
        supervisor.pulse.agree(plan.encode())
    else:
        processes_of.check_supervised(plan)
    with _told(supervisor, verbose=verbose):
        # These bring structlog along, and `configure_logs` has to be the first to do so.
        from onward.worker import settings_in

        from onward_cli.heart import Heart
        from onward_cli.serving import serve

        is_first = supervisor is None or supervisor.is_first
        heart = Heart(run_dir, number, is_first=is_first) if run_dir else None
        targets = [load(target) for target in apps]
        way = {"proxy": proxy, "ca_file": ca_file, "client_cert": client_cert, "client_key": client_key}
        target = targets[0] if len(targets) == 1 else targets
        worker = _worker(
            target,
            settings=settings_in(target, url).changed(url=url, token_file=token_file, **way),
            concurrency=slots,
            drain_timeout=drain_timeout,
            park_ttl=park_ttl,
            checkpoint=checkpoint,
            labels=_labels(label or []),
            connection_age=connection_age,
            busy_poll=cgroup.has_spare_cpu(processes) if busy_poll is None else busy_poll,
            insecure=insecure,
        )
        if supervisor:
            worker.watch = watch_for(supervisor, worker, option_ms("worker run", "--stall-limit", stall_limit))
        if log_format is LogFormat.CONSOLE and is_first:
            _show_banner(worker, slots, processes)
        if with_parent and not supervisor:  # which would see to it
            Thread(target=_end_with_parent, daemon=True).start()
        run_loop(
            serve(worker, heart, None if supervisor else plan, lambda: supervisor.pulse.asked if supervisor else 0)
        )
    leave(Exit.OK)


@contextmanager
def _told(supervisor: Supervisor | None, *, verbose: bool) -> Generator[None]:
    """An error that is shown here need not be told of by the supervisor as well, and waits for no thread."""
    from onward_cli.loops import leave

    try:
        yield
    except Exception as error:  # noqa: BLE001 - as in `guarded`
        if supervisor:
            supervisor.pulse.tell()
        leave(report(error, verbose=verbose))


def _worker(target: Any, **options: Any) -> Worker:
    from onward.app import App
    from onward.worker import Worker

    worker = Worker(target, **options)
    apps = {function.app for function in worker.functions.values()}
    for app in {*apps, target} if isinstance(target, App) else apps:
        app.check()
    return worker


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its worker, but its end of our stdin closes."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _labels(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [pair for pair, (name, equals, _) in zip(pairs, split, strict=True) if not (name and equals)]:
        raise CommandError("E0508", f"the label {wrong[0]!r} is not name=value", advice="write --label region=eu")
    return {name: value for name, _, value in split}


def _show_banner(worker: Worker, slots: int, processes: int) -> None:
    from importlib.metadata import version

    names = sorted(worker.functions)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    print(
        f"onward {version('onward')} worker {worker.instance}",
        f"engine     {worker.url}{_proxy_of(worker)}",
        f"functions  {shown}",
        f"slots      {slots}" + (f" in each of {processes} processes" if processes > 1 else ""),
        sep="\n",
        file=sys.stderr,
    )


def _proxy_of(worker: Worker) -> str:
    choice = worker.settings.way.choice(worker.url)
    return f" through {choice.proxy} ({choice.reason})" if choice.proxy else ""
