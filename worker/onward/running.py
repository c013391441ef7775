"""The run that the calling code belongs to."""

from __future__ import annotations

from typing import Any, cast

from onward import host as hosts
from onward.attempt import present
from onward.context import Context
from onward.sync_context import SyncContext


def current() -> Context[Any] | SyncContext[Any] | None:
    """Return the context of the run that the calling code belongs to; None outside of runs and inside step bodies."""
    host = hosts.host.get()
    if host is None or present.get():
        return None
    return cast("Context[Any] | SyncContext[Any]", host.context)
