"""When waits are over by themselves, and which events end them."""

from __future__ import annotations

import pytest
from onward_engine.rules import waits
from onward_protocol.messages import CallbackWait, Event, EventWait, Invoke, Match, SignalWait, Sleep, Wait

DAY = 86_400_000


@pytest.mark.parametrize(
    ("wait", "due"),
    [
        (Sleep(500), 1_500),
        (Sleep(0, until_at_ms=4_000), 4_000),
        (Sleep(0, until_at_ms=10), 1_000),
        (Sleep(-5), 1_000),
        (EventWait("x", timeout_ms=7), 1_007),
        (EventWait("x"), 1_000 + 366 * DAY),
        (SignalWait("x"), 1_000 + 366 * DAY),
        (CallbackWait("x", timeout_ms=0), 1_000),
        (Invoke("f", b""), None),
        (Invoke("f", b"", timeout_ms=9), 1_009),
    ],
)
def test_a_wait_is_over_by_itself(wait: Wait, due: int | None) -> None:
    assert waits.due_at_ms(wait, now_ms=1_000) == due


def test_a_wait_of_more_than_366_days_is_a_mistake() -> None:
    assert waits.problem(Sleep(366 * DAY), 0) is None
    assert "367 days" in str(waits.problem(Sleep(367 * DAY), 0))
    assert waits.problem(Sleep(0, until_at_ms=400 * DAY), now_ms=100 * DAY) is None


def test_every_equality_counts() -> None:
    wait = EventWait("x", (Match("a", b"1"), Match("b.c", b'"y"')))
    assert waits.accepts(wait, Event("e", "x", b'{"a":1,"b":{"c":"y"}}', 1, 1))
    assert not waits.accepts(wait, Event("e", "x", b'{"a":1}', 1, 1))


def test_a_wait_is_found_under_its_first_equality() -> None:
    assert waits.address(EventWait("x", (Match("a", b" 1.0"), Match("b", b"2")))) == ("a", b"1")
    assert waits.address(EventWait("x")) == ("", b"")
    assert waits.address(EventWait("x", (Match("", b"1"),))) == ("", b"")
    assert waits.address(EventWait("x", (Match("", b"1"), Match("b", b"2")))) == ("b", b"2")
