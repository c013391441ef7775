"""What a run waits for that is not at work, in a few words for people. Only what this engine knows."""

from __future__ import annotations

from onward_protocol.messages import FunctionManifest

from .connections import Connections
from .model import Run, Status
from .store.port import Store
from .store.tables import PAUSE

_QUEUED = (Status.QUEUED, Status.READY, Status.ORPHANED)


async def paused_functions(store: Store) -> frozenset[str]:
    """Return the functions that begin no new runs."""
    return frozenset([item.name for item in await store.items(PAUSE, "")])


def waiting_for(
    run: Run, function: FunctionManifest | None, connections: Connections, *, is_function_paused: bool, is_alone: bool
) -> str | None:
    """Return what a run waits for; None if it is at work, or over, or waits for what its own code has asked for.

    `is_alone`: no other engine may have workers for it.
    """
    if run.status.is_terminal:
        return None
    if run.is_held:
        return "somebody to resume it"
    if run.status not in _QUEUED:
        return None
    if is_function_paused and not run.started_at_ms:
        return f"somebody to resume the function {run.function}"
    return _worker_for(run, function, connections) if is_alone else None


def _worker_for(run: Run, function: FunctionManifest | None, connections: Connections) -> str | None:
    workers = [one for one in connections if run.function in one.functions]
    if any(one.free > 0 for one in workers):
        return None
    if workers:
        return "a free slot"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(function.labels.items())) if function else ""
    return f"a worker that has the function {run.function}" + (f" and the labels {labels}" if labels else "")
