"""The `worker` command: where it starts."""

from __future__ import annotations

import os
import sys

_EXPLAINING = {"-h", "--help", "--version"}
_ALWAYS = {"errors", "completion"}  # also where a file of settings is wrong: they explain it, or start a shell


def run() -> None:
    """Run the command line of this process. The supervisor of a worker is small because it loads no commands, and a
    probe is quick because it loads nothing.
    """
    _fill_streams()
    try:
        _run()
    except KeyboardInterrupt:  # while something is imported
        sys.exit(130)


def _fill_streams() -> None:
    """A stream that was closed before the start is None, which neither takes what is written nor knows a terminal."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _run() -> None:
    from onward_cli import heartbeat

    if heartbeat.is_wanted(sys.argv[1:]):
        sys.exit(heartbeat.answer(sys.argv[2], os.environ[heartbeat.VARIABLE]))
    if "_WORKER_COMPLETE" in os.environ:
        from onward_cli.completion import answer

        sys.exit(answer(sys.argv[1:]))
    if _EXPLAINING.isdisjoint(sys.argv[1:]):
        _take_settings()
        from onward_cli import supervisor

        if supervisor.is_wanted(sys.argv[1:]):
            sys.exit(supervisor.supervise(sys.orig_argv))
    from onward_cli.commands import app

    app(prog_name="worker")


def _take_settings() -> None:
    """What a folder's file says counts as environment, for the supervisor too; most folders have none."""
    if not (os.path.exists("onward.toml") or os.path.exists("pyproject.toml")):
        return
    from onward_cli import config
    from onward_cli.errors import CommandError, report

    try:
        config.apply()
    except CommandError as error:
        if not _ALWAYS.isdisjoint(sys.argv[1:2]):
            return
        sys.exit(report(error, verbose=False))
