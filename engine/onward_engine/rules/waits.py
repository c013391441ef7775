"""What a wait waits for: when it is over by itself, and which event ends it."""

from __future__ import annotations

from onward_protocol.messages import CallbackWait, Event, EventWait, Invoke, SignalWait, Sleep, Wait

from .paths import canonical, find, index_key

WAIT_MS_MAX = 366 * 24 * 60 * 60 * 1000
"""A year and a day: what is longer is a mistake in a unit, and would stand in the timers for ever."""


LOOK_BACK_MS = 7 * 24 * 60 * 60 * 1000
"""A wait sees what was accepted this long before it at most: otherwise no event could ever be deleted."""


def problem(wait: Wait, now_ms: int) -> str | None:
    """Say why a wait can never be kept; None if it can."""
    span_ms = _span_ms(wait, now_ms)
    if span_ms is not None and span_ms > WAIT_MS_MAX:
        return f"a wait of {span_ms // 86_400_000} days; at most 366 are possible"
    return None


def due_at_ms(wait: Wait, now_ms: int) -> int | None:
    """Return when the wait is over by itself. Only a child run may take as long as it wants."""
    span_ms = _span_ms(wait, now_ms)
    if span_ms is None:
        return None if isinstance(wait, Invoke) else now_ms + WAIT_MS_MAX
    return now_ms + max(0, span_ms)


def address(wait: EventWait) -> tuple[str, bytes]:
    """Return path and value under which an event finds the wait: its first equality, or ("", b"") if it has none.

    An equality of the whole document, whose path is empty, is none.
    """
    first = next((match for match in wait.match if match.path), None)
    return ("", b"") if first is None else (first.path, index_key(canonical(first.value)))


SIGNAL = "\x01signal"
CALLBACK = "\x01callback"
"""Stand in the index of waits where event names do; those are printable."""


def place(wait: Wait) -> tuple[str, str, bytes] | None:
    """Return event name, path and value under which a wait is found; None if nothing looks for it."""
    match wait:
        case EventWait():
            return wait.event, *address(wait)
        case SignalWait():
            return SIGNAL, "", wait.name.encode()
        case CallbackWait():
            return CALLBACK, "", wait.token.encode()
        case Sleep() | Invoke():
            return None


def accepts(wait: EventWait, event: Event) -> bool:
    """Tell whether an event of the right name satisfies every equality. An expression is asked apart from that."""
    return all(find(event.data, match.path) == canonical(match.value) for match in wait.match)


def _span_ms(wait: Wait, now_ms: int) -> int | None:
    match wait:
        case Sleep():
            return wait.until_at_ms - now_ms if wait.until_at_ms else wait.ms
        case EventWait() | SignalWait() | CallbackWait() | Invoke():
            return wait.timeout_ms
