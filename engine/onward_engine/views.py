"""What people see of the store: runs, steps, events and functions as JSON.

Payloads are MessagePack that somebody's code made. They are decoded for people only, at most `bytes_max` of each, and
what JSON cannot say is said as text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any, cast

import msgspec
from onward_protocol.messages import AppManifest, Failure

from .model import Run, StepView
from .store.port import StepPage

# The largest integer that every JSON reader keeps exact.
_INTEGER_MAX = 2**53

Json = dict[str, Any]


def run_view(run: Run, bytes_max: int) -> Json:
    """Return one run with its input, output and error."""
    return {
        **run_line(run),
        "events": list(run.events),
        "input": payload_view(run.input, bytes_max) if run.input else None,
        "output": payload_view(run.output, bytes_max) if run.output else None,
        "output_bytes": len(run.output),
        "error": failure_view(run.failure, bytes_max),
        "cancel_reason": run.cancel_reason,
        "parent": run.parent or None,
    }


def run_line(run: Run) -> Json:
    """Return one run as a line of a list."""
    return {
        "id": run.id,
        "function": run.function,
        "status": run.status.value,
        "attempt": run.attempt,
        "strikes": run.strikes,
        "steps": run.steps,
        "worker": run.holder or None,
        "created_at_ms": run.created_at_ms,
        "started_at_ms": run.started_at_ms or None,
        "ended_at_ms": run.ended_at_ms or None,
    }


def steps_view(page: StepPage, bytes_max: int) -> Json:
    """Return a part of a run's history."""
    cursor = None if page.next is None else str(page.next)
    return {"steps": [step_view(step, bytes_max) for step in page.steps], "cursor": cursor}


def step_view(step: StepView, bytes_max: int) -> Json:
    """Return one line of a run's history."""
    return {
        "key": step.key,
        "kind": step.kind,
        "status": step.status,
        "attempts": step.attempts,
        "at_ms": step.at_ms,
        "took_ms": step.took_ms,
        "output": None if step.output is None else payload_view(step.output, bytes_max),
        "error": failure_view(step.failure, bytes_max),
    }


def failure_view(failure: Failure | None, bytes_max: int) -> Json | None:
    """Return an error as its type, message, data and stack."""
    if failure is None:
        return None
    data = payload_view(failure.data, bytes_max) if failure.data else None
    return {"type": failure.type, "message": failure.message, "data": data, "stack": failure.stack}


def app_view(app: AppManifest) -> list[Json]:
    """Return the functions of one app."""
    return [
        {
            "id": function.id,
            "app": app.name,
            "version": app.version,
            "triggers": [trigger.event for trigger in function.triggers],
            "concurrency": [{"limit": limit.limit, "key": limit.key} for limit in function.concurrency],
            "on_failure": function.on_failure or None,
            "sync": function.sync,
        }
        for function in app.functions
    ]


def payload_view(payload: bytes, bytes_max: int) -> Any:
    """Return MessagePack as something that JSON can say; a large or unreadable payload is named by its size."""
    if len(payload) > bytes_max:
        return f"({len(payload)} bytes: too large to show, ask for application/msgpack)"
    try:
        return plain(msgspec.msgpack.decode(payload, ext_hook=_extension))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError):
        return f"({len(payload)} bytes that are not MessagePack)"


def plain(value: object) -> Any:
    """Return the value with everything that JSON has no word for as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if _is_exact(value) else str(value)
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return {_key(key): plain(inner) for key, inner in fields.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in cast("list[object]", value)]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _is_exact(number: float) -> bool:
    return abs(number) <= _INTEGER_MAX if isinstance(number, int) else math.isfinite(number)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(plain(key))


def _extension(code: int, data: memoryview) -> str:
    return f"(extension {code}: {base64.b64encode(data).decode()})"


def to_json(make: Callable[[], Any]) -> bytes:
    """Make a view and encode it: the part that belongs off the event loop."""
    return msgspec.json.encode(make())
