"""Concurrency: which runs share places, and how many there are.

A run takes a place of its flow key before it can be claimed, keeps it while it is assigned or orphaned, and gives it
back when it parks or ends. So at most `limit` runs of a key are assigned at any commit, and whoever waits for a place
waits in one line, first come, first served.
"""

from __future__ import annotations

from onward_protocol.messages import Event, FunctionManifest

from ..model import Run
from .paths import find_in_event, find_packed, index_key


def problem(function: FunctionManifest) -> str | None:
    """Say why the options of a function cannot be honoured; None if they can."""
    if len(function.concurrency) > 1:
        return f"{function.id} declares {len(function.concurrency)} concurrency limits; one is supported"
    if any(limit.limit < 1 for limit in function.concurrency):
        return f"{function.id} declares a concurrency limit below 1: it could never run"
    return None


def flow_of(function: FunctionManifest, event: Event | None, document: bytes) -> tuple[str, int]:
    """Return the flow key and the limit of a new run, ("", 0) without a limit.

    Without an event the path leads into the run's input.
    """
    if not function.concurrency:
        return "", 0
    limit = function.concurrency[0]
    if not limit.key:
        return function.id, limit.limit
    value = find_in_event(event, limit.key) if event else find_packed(document, limit.key.removeprefix("event.data."))
    return f"{function.id} {limit.key}={index_key(value).decode()}", limit.limit


def limit_now(run: Run, function: FunctionManifest | None) -> int | None:
    """Return the limit in force for a run's key; None without one.

    What the function says now counts, and if nobody offers it any more, what it said when the run was made.
    """
    if function is None:
        return run.flow_limit
    return function.concurrency[0].limit if function.concurrency else None
