"""When workers are started again."""

from __future__ import annotations

from itertools import pairwise

from onward_cli.heartbeat import LIVE_S
from onward_cli.succession import PAUSE_MS_MAX, STEADY_MS, Succession


def starts_within(span_ms: int, lives_ms: int) -> list[int]:
    """The moments at which a worker is started that never lives for longer."""
    succession, now_ms, starts = Succession(), 0, list[int]()
    succession.plan([0], now_ms)
    while (wait_ms := succession.wait_ms(now_ms)) is not None and now_ms + wait_ms < span_ms:
        now_ms += wait_ms
        assert succession.take_due(now_ms) == [0]
        starts.append(now_ms)
        now_ms += lives_ms
        succession.note_ending(0, lives_ms)
        succession.plan_successor(0, now_ms)
    return starts


def test_one_that_dies_at_once_is_started_after_pauses_that_double_up_to_a_longest() -> None:
    starts = starts_within(70_000, lives_ms=0)
    assert [later - earlier for earlier, later in pairwise(starts)] == [
        *(1_000, 2_000, 4_000, 8_000),
        *(15_000, 15_000, 15_000),
    ]


def test_one_that_lives_for_a_minute_is_always_started_after_the_shortest_pause() -> None:
    assert starts_within(200_000, STEADY_MS) == [0, 61_000, 122_000, 183_000]


def test_the_longest_pause_is_shorter_than_a_heartbeat_counts() -> None:
    succession = Succession()
    for _ in range(10_000):
        succession.note_ending(0, lived_ms=0)
    assert succession.pause_ms(0) == PAUSE_MS_MAX < LIVE_S * 1000


def test_each_number_counts_for_itself() -> None:
    succession = Succession()
    succession.note_ending(1, lived_ms=0)
    succession.plan([0, 2], now_ms=10)
    succession.plan_successor(1, now_ms=10)
    assert (succession.has_ended(0), succession.has_ended(1)) == (False, True)
    assert succession.take_due(10) == [0, 2]
    assert succession.take_due(10) == []
    assert succession.wait_ms(10) == 1_000
    assert succession.take_due(1_010) == [1]
    assert succession.wait_ms(1_010) is None


def test_nobody_is_due_any_more_once_all_have_to_end() -> None:
    succession = Succession()
    succession.note_ending(0, lived_ms=0)
    succession.plan([0, 1], now_ms=0)
    succession.cancel()
    assert (bool(succession), succession.has_ended(0)) == (False, True)
    succession.forget()
    assert not succession.has_ended(0)
