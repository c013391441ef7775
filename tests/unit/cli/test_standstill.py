"""What becomes of a worker whose event loop does not turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from onward_cli.child import Child
from onward_cli.plan import Plan
from onward_cli.standstill import Standstill
from onward_cli.voice import Voice

LIMIT_MS = 120_000


def still(plan: Plan, age_ms: int, *, was_sent_away: bool = False) -> tuple[Any, Any]:
    """A worker that is looked at after it has stood still for so long, and what was said of it."""
    pulse = SimpleNamespace(age_ms=age_ms, take_stack=str, now=[], is_on_loop=False)
    child = MagicMock(pulse=pulse, patience_ms=3_000, about={"stall_max_ms": LIMIT_MS})
    child.is_given_up, child.was_sent_away = False, was_sent_away
    voice = MagicMock(plan=plan)
    Standstill(cast("Child", child), cast("Voice", voice)).look()
    return child, voice


def test_a_worker_that_stands_still_is_spoken_for_until_it_is_given_up() -> None:
    child, voice = still(Plan(), LIMIT_MS)
    assert (voice.speak_for.called, voice.say_bye.called, child.is_given_up) == (True, False, False)
    child, voice = still(Plan(), LIMIT_MS + 1)
    voice.say_bye.assert_called_once_with(child, "stalled")
    assert child.is_given_up


@pytest.mark.parametrize(
    ("plan", "was_sent_away", "is_killed"),
    [(Plan(), False, False), (Plan(processes=2), False, True), (Plan(is_reloading=True), True, True)],
)
def test_who_is_given_up_makes_room_if_another_one_is_to_take_its_place(
    plan: Plan, was_sent_away: bool, is_killed: bool
) -> None:
    child, _ = still(plan, LIMIT_MS + 1, was_sent_away=was_sent_away)
    assert child.kill.called is is_killed
