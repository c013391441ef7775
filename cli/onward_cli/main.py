"""The `worker` command: where it starts."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line of this process. The supervisor of a worker is small because it loads no commands."""
    from onward_cli import supervisor

    if supervisor.is_wanted(sys.argv[1:]):
        sys.exit(supervisor.supervise(sys.orig_argv))
    from onward_cli.commands import app

    app(prog_name="worker")
