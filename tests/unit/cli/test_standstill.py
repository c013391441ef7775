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
    Standstill(cast("Child", child), cast("Voice", voice), lambda: age_ms).look()
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


class Silent:
    """A worker that has stood still for long enough to be named. What it left behind is in `stack`."""

    def __init__(self) -> None:
        self.stack = ""
        self.now_ms = 0
        pulse = SimpleNamespace(age_ms=3_001, take_stack=lambda: self.stack, now=[], is_on_loop=False)
        self.child = MagicMock(pulse=pulse, patience_ms=3_000, about={"stall_max_ms": LIMIT_MS}, is_stopped=False)
        self.voice = MagicMock(plan=Plan())
        self.standstill = Standstill(cast("Child", self.child), cast("Voice", self.voice), lambda: self.now_ms)

    def look(self, *at_ms: int) -> None:
        for self.now_ms in at_ms:
            self.standstill.look()

    @property
    def said(self) -> list[str]:
        return [call.args[0] for call in self.voice.log().warning.call_args_list]


def test_who_has_left_a_stack_is_named_at_once_and_not_asked() -> None:
    worker = Silent()
    worker.stack = "Thread 1 (most recent call first):\n  File a"
    worker.look(0)
    assert (worker.said, worker.child.ask_for_stack.called) == (["event loop is blocked"], False)


def test_who_leaves_none_is_asked_once_it_was_looked_on_for_a_second_and_named_without_one_a_second_later() -> None:
    """Read while it executes Python, a stack ends the process: whoever only waited for a processor is not asked."""
    worker = Silent()
    worker.look(0, 500, 999)
    assert (worker.said, worker.child.ask_for_stack.called) == ([], False)
    worker.look(1_000, 1_500, 1_999)
    assert worker.said == []
    worker.child.ask_for_stack.assert_called_once_with()
    worker.look(2_000)
    assert worker.said == ["event loop is blocked"]


def test_who_goes_on_after_a_pause_is_given_the_time_to_turn() -> None:
    """However long it stood still: its stack is in motion again."""
    worker = Silent()
    worker.look(60_000)
    assert not worker.child.ask_for_stack.called
    worker.child.pulse.age_ms = 0
    worker.look(60_500)
    worker.child.pulse.age_ms = 3_001
    worker.look(61_200)
    assert not worker.child.ask_for_stack.called


def test_who_is_stopped_is_named_so_and_not_asked() -> None:
    worker = Silent()
    worker.child.is_stopped = True
    worker.look(0, 1_000, 2_000)
    assert (worker.said, worker.child.ask_for_stack.called) == (["worker is stopped"], False)
