"""How a command ends: the status that scripts read."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of every command. A signal adds 128: 130 for Ctrl-C, 143 for SIGTERM."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    UNREACHABLE = 5
    CONFLICT = 6
    TIMED_OUT = 7
    IMPORT = 8
    VERSION = 9
    BUG = 70
    TRY_AGAIN = 75
    INTERRUPTED = 130
    TERMINATED = 143
