"""What a supervisor has to know of its workers' options. A worker reads them, so that flags, variables and files count
alike, and the supervisor needs nothing that reads options.
"""

from __future__ import annotations

import json
from typing import NamedTuple


class Plan(NamedTuple):
    """How many workers there are to be, and when one of them, or all, have to leave. None and 0: never."""

    processes: int = 1
    memory_max: int = 0
    """In bytes, of one process."""

    idle_max_ms: int | None = None
    runtime_max_ms: int | None = None
    is_reloading: bool = False
    is_bound: bool = False
    """All of it ends with the process that has started the supervisor."""

    log_format: str = "console"
    is_verbose: bool = False
    memory_kills: int = 0
    """How many processes of its container the system had ended for want of memory when this worker began."""

    def encode(self) -> bytes:
        """Return it as bytes."""
        return json.dumps(self).encode()

    @classmethod
    def decode(cls, text: bytes) -> Plan:
        """Return what `encode` was given."""
        return cls(*json.loads(text))
