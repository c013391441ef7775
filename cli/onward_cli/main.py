"""The `worker` command: where it starts."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Run the command line of this process. The supervisor of a worker is small because it loads no commands, and a
    probe is quick because it loads nothing.
    """
    from onward_cli import heartbeat

    if heartbeat.is_wanted(sys.argv[1:]):
        sys.exit(heartbeat.answer(sys.argv[2], os.environ[heartbeat.VARIABLE]))
    from onward_cli import supervisor

    if supervisor.is_wanted(sys.argv[1:]):
        sys.exit(supervisor.supervise(sys.orig_argv))
    from onward_cli.commands import app

    app(prog_name="worker")
