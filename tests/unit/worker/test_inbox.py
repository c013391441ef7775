"""What the engine says is acted on message by message, and nothing waits for long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onward.connection.inbox import TURNS_MAX, WAIT_MS_MAX, Inbox


class Story:
    """An inbox, a loop that turns when it is told to, and a clock. Messages in capitals set something going."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.taken: list[bytes] = []
        self._ready: list[Callable[[], None]] = []
        self.inbox = Inbox(self._take, clock_ms=lambda: self.now_ms, call_soon=self._ready.append)

    def _take(self, message: bytes) -> bool:
        self.taken.append(message)
        return message.isupper()

    def turn(self, ms: int = 0) -> None:
        self.now_ms += ms
        ready, self._ready[:] = self._ready[:], []
        for callback in ready:
            callback()

    @property
    def is_idle(self) -> bool:
        return not self._ready


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_message_that_comes_alone_is_taken_at_once(story: Story) -> None:
    story.inbox.put(b"A")
    assert story.taken == [b"A"]
    assert story.is_idle


def test_what_sets_nothing_going_keeps_nobody_waiting(story: Story) -> None:
    for message in (b"a", b"b", b"c"):
        story.inbox.put(message)
    assert story.taken == [b"a", b"b", b"c"]


def test_the_next_message_waits_until_the_results_of_the_one_before_are_written(story: Story) -> None:
    story.inbox.put(b"A")
    story.inbox.put(b"B")
    story.turn()
    assert story.taken == [b"A"]
    story.inbox.go_on()
    assert story.taken == [b"A", b"B"]


def test_messages_that_wait_are_taken_one_by_one_and_in_order(story: Story) -> None:
    for message in (b"A", b"b", b"C", b"d", b"E"):
        story.inbox.put(message)
    assert story.taken == [b"A"]
    story.inbox.go_on()
    assert story.taken == [b"A", b"b", b"C"]
    story.inbox.go_on()
    assert story.taken == [b"A", b"b", b"C", b"d", b"E"]


def test_nothing_waits_for_results_that_do_not_come(story: Story) -> None:
    story.inbox.put(b"A")
    story.inbox.put(b"B")
    for _ in range(TURNS_MAX - 1):
        story.turn()
    assert story.taken == [b"A"]
    story.turn()
    assert story.taken == [b"A", b"B"]
    assert story.is_idle


def test_each_message_waits_for_its_own_turns(story: Story) -> None:
    story.inbox.put(b"A")
    story.inbox.put(b"B")
    for _ in range(TURNS_MAX - 1):
        story.turn()
    story.inbox.go_on()
    story.inbox.put(b"C")
    story.turn()
    assert story.taken == [b"A", b"B"]
    for _ in range(TURNS_MAX - 1):
        story.turn()
    assert story.taken == [b"A", b"B", b"C"]


def test_code_that_computes_does_not_keep_the_engine_from_being_heard(story: Story) -> None:
    story.inbox.put(b"A")
    story.inbox.put(b"B")
    story.turn(ms=WAIT_MS_MAX)
    assert story.taken == [b"A", b"B"]


def test_however_many_wait_none_waits_for_longer(story: Story) -> None:
    for message in (b"A", b"B", b"C", b"D"):
        story.inbox.put(message)
    story.turn(ms=WAIT_MS_MAX)
    assert story.taken == [b"A", b"B", b"C", b"D"]


def test_the_last_words_of_a_connection_are_heard(story: Story) -> None:
    for message in (b"A", b"B", b"C"):
        story.inbox.put(message)
    story.inbox.take_rest()
    assert story.taken == [b"A", b"B", b"C"]
    story.turn()
    assert story.is_idle
