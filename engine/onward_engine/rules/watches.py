"""What the engine watches a run for by itself: events that cancel it, and time that is up.

Each is a wait under a key that no worker can use, so that it stands in the same lists as the run's own waits. It is
never one of them: it parks nobody, and writes nothing into the run's journal.
"""

from __future__ import annotations

from onward_protocol.ids import name_problem
from onward_protocol.limits import Limits
from onward_protocol.messages import CancelRule, Event, EventWait, FunctionManifest, Match

from .conditions import WAIT, problem
from .paths import find, find_packed
from .waits import WAIT_MS_MAX

CLEANUP_KEY = ""
"""The end of a cancelled run's time to clean up."""

RESERVED = "\x01"
"""Keys of the engine's own begin with it; the one above is its own as well."""

START_KEY = f"{RESERVED}start"
FINISH_KEY = f"{RESERVED}finish"

RULES_MAX = 5
"""Of a function: each is a wait of each of its runs, and one more thing that every event of that name looks at."""


def is_reserved(key: str) -> bool:
    """Tell whether a wait under this key is the engine's own."""
    return not key or key.startswith(RESERVED)


def rule_key(index: int) -> str:
    """Return the key of the wait for a function's rule."""
    return f"{RESERVED}cancel:{index}"


def options_problem(function: FunctionManifest) -> str | None:
    """Say which rule or limit of a function can never be kept; None if all can."""
    if len(function.cancel_on) > RULES_MAX:
        return f"{function.id} has {len(function.cancel_on)} rules in 'cancel_on'; {RULES_MAX} are supported"
    for rule in function.cancel_on:
        if found := _rule_problem(rule):
            return f"{function.id}, option 'cancel_on', event {rule.event}: {found}"
    for option, limit_ms in (("start", function.start_timeout_ms), ("finish", function.finish_timeout_ms)):
        if limit_ms is not None and limit_ms > WAIT_MS_MAX:
            return f"{function.id}, option 'timeouts': {option} is longer than 366 days"
    return None


def wait_of(rule: CancelRule, event: Event | None, input: bytes) -> EventWait:
    """Return what to wait for on behalf of a run that begins with this event, or with this input."""
    matches = tuple(Match(path, find(event.data, path) if event else find_packed(input, path)) for path in rule.match)
    return EventWait(rule.event, matches, rule.timeout_ms, where=rule.where)


def late_start(limit_ms: int) -> str:
    """Return why a run is cancelled that no worker has taken in time."""
    return f"it did not start within {_seconds(limit_ms)}"


def late_finish(limit_ms: int) -> str:
    """Return why a run is cancelled that takes too long."""
    return f"it did not finish within {_seconds(limit_ms)}"


def cancelling(event: Event) -> str:
    """Return why a run is cancelled by an event."""
    return f"event {event.name} ({event.id})"


def _rule_problem(rule: CancelRule) -> str | None:
    if found := name_problem(rule.event, Limits().name_bytes_max):
        return f"its name {found}"
    if rule.event.endswith("*"):
        return "a rule names one event, not a prefix"
    if any("\0" in path for path in rule.match):
        return "a path in 'match' has the character 0"
    if rule.timeout_ms is not None and rule.timeout_ms > WAIT_MS_MAX:
        return "its timeout is longer than 366 days"
    return problem(rule.where, WAIT) if rule.where else None


def _seconds(span_ms: int) -> str:
    return f"{span_ms / 1000:g} s"
