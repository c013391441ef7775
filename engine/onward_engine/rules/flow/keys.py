"""Which runs share a limit: the keys that a function's options give an event."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from onward_protocol.messages import ConcurrencyLimit, Event, FunctionManifest

from ...model import Flow
from ..conditions import TRIGGER, Document, Subject, document_of_input
from ..expressions import Expression, Value, expression
from ..paths import canonical, index_key

CONCURRENCY = "concurrency"
SINGLETON = "singleton"
THROTTLE = "throttle"


def document_of(event: Event | None, input: bytes) -> Document:
    """Return what expressions see of a run: its event, or its input as the data of one."""
    return Subject(event).document if event else document_of_input(input)


def value_of(source: str, document: Document) -> str:
    """Return the text that stands for the value of a key; equal values have equal texts. Raises `ExpressionError`."""
    return _text(_compiled(source).value(document))


def key_of(option: str, function: FunctionManifest, source: str, document: Document) -> str:
    """Name what a function keeps for each value of a key. Raises `ExpressionError`."""
    return _key(option, function.id, source, document)


def flows_of(function: FunctionManifest, document: Document | None) -> tuple[Flow, ...]:
    """Return the limits that a run is under, the narrowest first. Raises `ExpressionError`.

    Without a document the runs of which a key cannot be read share one value.
    """
    flows = [_concurrency(function, index, limit, document) for index, limit in enumerate(function.concurrency)]
    if function.singleton:
        key = _key(SINGLETON, function.id, function.singleton.key, document)
        flows.append(Flow(key, SINGLETON, 1, is_whole=True))
    if function.throttle:
        key = _key(THROTTLE, function.id, function.throttle.key, document)
        flows.append(Flow(key, THROTTLE, function.throttle.limit))
    return tuple(sorted(flows, key=_breadth)) if len(flows) > 1 else tuple(flows)


def unkeyed_flows(function: FunctionManifest) -> tuple[Flow, ...]:
    """Return those limits of a function that are the same for all of its runs."""
    throttle = function.throttle if function.throttle and not function.throttle.key else None
    concurrency = tuple(limit if not limit.key else None for limit in function.concurrency)
    flows = [_concurrency(function, index, limit, None) for index, limit in enumerate(concurrency) if limit]
    if throttle:
        flows.append(Flow(_key(THROTTLE, function.id, "", None), THROTTLE, throttle.limit))
    return tuple(flows)


def has_value(key: str) -> bool:
    """Tell whether a key is that of one value, and not the same for all runs of a function."""
    return "=" in key


def concurrency_option(index: int) -> str:
    """Name a concurrency limit of a function by its place."""
    return f"{CONCURRENCY}:{index}"


def _concurrency(function: FunctionManifest, index: int, limit: ConcurrencyLimit, document: Document | None) -> Flow:
    scope = {"function": function.id, "app": function.id.partition("/")[0] + "/", "environment": "*"}[limit.scope]
    key = _key(CONCURRENCY, scope, limit.key, document)
    is_shared = limit.scope != "function"
    return Flow(key, concurrency_option(index), limit.limit, is_whole=limit.of == "run", is_shared=is_shared)


def _key(option: str, scope: str, source: str, document: Document | None) -> str:
    if not source:
        return f"{option} {scope}"
    return f"{option} {scope} {source}={'?' if document is None else value_of(source, document)}"


def _breadth(flow: Flow) -> tuple[bool, bool, bool]:
    """Those of one value come first: who waits for one of these is in nobody's way in the lines of the others."""
    return flow.is_throttle, flow.is_shared, not has_value(flow.key)


@lru_cache(1024)
def _compiled(source: str) -> Expression:
    return expression(source, TRIGGER)


def _text(value: Value) -> str:
    return index_key(canonical(msgspec.json.encode(value))).decode()
