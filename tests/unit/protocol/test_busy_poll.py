"""Who stays awake for an answer, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from onward_protocol.busy_poll import CREDIT_MAX, PRICE, BusyPoll

QUICK_US, LONGEST_US, LATE_US = 300, 1_000, 5_000
TURN_US = 5


class Story:
    """A loop with nothing in it but what busy polling itself asks for."""

    def __init__(self) -> None:
        self.now_us = 0
        self.callbacks: list[Callable[[], None]] = []
        self.poll = BusyPoll(LONGEST_US, clock_us=lambda: self.now_us, call_soon=self.callbacks.append)

    def answer(self, after_us: int, who: str = "run_1") -> int:
        """Expect an answer that comes after so long. Returns for how many microseconds the loop turned."""
        self.poll.expect(who)
        begun_us, awake_us = self.now_us, 0
        while self.now_us < begun_us + after_us:
            for callback in [self.callbacks.pop() for _ in self.callbacks]:
                callback()
            awake_us += TURN_US * len(self.callbacks)
            self.now_us += TURN_US
        self.poll.met()
        return awake_us

    def earn(self, count: int = PRICE) -> None:
        for _ in range(count):
            self.answer(QUICK_US)


def test_it_stays_awake_once_answers_have_been_quick() -> None:
    story = Story()
    assert [story.answer(QUICK_US) for _ in range(PRICE)] == [0] * PRICE
    assert story.answer(QUICK_US) == QUICK_US


def test_it_sleeps_when_an_answer_is_late() -> None:
    story = Story()
    story.earn()
    assert LONGEST_US - TURN_US <= story.answer(LATE_US) <= LONGEST_US + TURN_US
    assert story.callbacks == []
    assert story.answer(QUICK_US) == 0


def test_now_and_then_an_answer_may_be_late() -> None:
    story = Story()
    story.earn(CREDIT_MAX)
    for _ in range(20):
        story.answer(LATE_US)
        story.earn(PRICE)
        assert story.answer(QUICK_US) == QUICK_US


def test_good_times_do_not_pay_for_bad_ones_for_long() -> None:
    story = Story()
    story.earn(10 * CREDIT_MAX)
    awake_us = [story.answer(LATE_US) for _ in range(CREDIT_MAX)]
    assert sum(time > 0 for time in awake_us) <= CREDIT_MAX // PRICE


def test_who_answers_late_always_is_never_waited_for() -> None:
    story = Story()
    assert sum(story.answer(LATE_US) for _ in range(1_000)) == 0


def test_somebody_else_begins_without_credit() -> None:
    story = Story()
    story.earn(CREDIT_MAX)
    assert story.answer(QUICK_US, "run_2") == 0
    assert story.answer(QUICK_US) == 0


def test_it_does_not_turn_twice_at_a_time() -> None:
    story = Story()
    story.earn()
    story.poll.expect("run_1")
    story.poll.met()
    story.poll.expect("run_1")
    assert len(story.callbacks) == 1


def test_what_comes_unexpectedly_is_nobodys_answer() -> None:
    story = Story()
    for _ in range(CREDIT_MAX):
        story.poll.met()
    assert story.answer(QUICK_US) == 0


def test_an_answer_in_pieces_is_one_answer() -> None:
    story = Story()
    for _ in range(PRICE - 1):
        story.answer(QUICK_US)
        story.poll.met()
    assert story.answer(QUICK_US) == 0


def test_who_expects_again_and_again_still_waits_for_the_first_answer() -> None:
    story = Story()
    story.earn()
    story.poll.expect("run_1")
    story.now_us += LONGEST_US
    story.poll.expect("run_1")
    story.now_us += QUICK_US
    story.poll.met()
    assert story.answer(QUICK_US) == 0


def test_an_answer_that_never_came_is_forgotten_with_whom_it_was_about() -> None:
    story = Story()
    story.poll.expect("run_1")
    story.now_us += LATE_US
    assert [story.answer(QUICK_US, "run_2") for _ in range(PRICE)] == [0] * PRICE
    assert story.answer(QUICK_US, "run_2") == QUICK_US
