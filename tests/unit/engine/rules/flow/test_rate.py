"""A rate limit counts in a window that slides: never more than the limit in any period, and not fewer than need be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from onward_engine.rules.flow import rate
from onward_engine.rules.flow.rate import Window


def started(limit: int, period_ms: int, moments: list[int]) -> list[int]:
    """When those of these events that start a run do so, by the clock that is most ahead."""
    window, found = Window(), list[int]()
    for now_ms in moments:
        if not rate.is_full(window, limit, period_ms, now_ms):
            window = rate.with_start(window, limit, period_ms, now_ms)
            found.append(window.newest_ms)
    return found


def most_in_a_period(moments: list[int], period_ms: int) -> int:
    """The most of them in any window, wherever it begins."""
    return max((sum(1 for one in moments if first <= one < first + period_ms) for first in set(moments)), default=0)


MOMENTS = st.lists(st.integers(0, 5_000), max_size=200).map(sorted)


@given(limit=st.integers(1, 20), period_ms=st.integers(1, 2_000), moments=MOMENTS)
def test_no_window_ever_has_more_than_the_limit(limit: int, period_ms: int, moments: list[int]) -> None:
    assert most_in_a_period(started(limit, period_ms, moments), period_ms) <= limit


@given(limit=st.integers(1, 20), period_ms=st.integers(1, 2_000), moments=MOMENTS)
def test_an_event_is_skipped_only_if_its_period_is_full(limit: int, period_ms: int, moments: list[int]) -> None:
    assert started(limit, period_ms, moments) == started_exactly(limit, period_ms, moments)


@settings(max_examples=30)
@given(limit=st.integers(1_001, 1_500), period_ms=st.integers(1, 100_000), moments=MOMENTS)
def test_large_limits_count_in_cells_and_let_at_most_a_thousandth_less_through(
    limit: int, period_ms: int, moments: list[int]
) -> None:
    crowd = [moment * 31 for moment in moments[:40] for _ in range(100)]
    begun = started(limit, period_ms, crowd)
    assert most_in_a_period(begun, period_ms) <= limit
    longer_ms = period_ms + -(-period_ms // 1_000)
    assert len(begun) >= len(started_exactly(limit, longer_ms, crowd))


def started_exactly(limit: int, period_ms: int, moments: list[int]) -> list[int]:
    begun: list[int] = []
    for now_ms in moments:
        if len(begun) < limit or begun[-limit] <= now_ms - period_ms:
            begun.append(now_ms)
    return begun


@given(
    limit=st.integers(1, 10),
    period_ms=st.integers(1, 2_000),
    skewed=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 500)), max_size=200).map(sorted),
)
def test_engines_whose_clocks_disagree_let_no_more_through(
    limit: int, period_ms: int, skewed: list[tuple[int, int]]
) -> None:
    seen = [moment_ms - skew_ms for moment_ms, skew_ms in skewed]
    assert most_in_a_period(started(limit, period_ms, seen), period_ms) <= limit


def test_what_is_remembered_stays_small() -> None:
    window = Window()
    for now_ms in range(0, 50_000, 19):
        window = rate.with_start(window, 5_000, 20_000, now_ms)
    assert len(window.cells) <= 1_001


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    window = rate.with_start(Window(), 1, 60_000, 10_000_000)
    assert rate.is_full(window, 1, 60_000, 10_000_000 - 59_000)
    assert not rate.is_full(window, 1, 60_000, 5_000_000)
    assert rate.with_start(window, 1, 60_000, 5_000_000) == Window(5_000_000, ((5_000_000, 1),))


def test_a_limit_that_is_lowered_counts_what_has_started() -> None:
    window = Window()
    for now_ms in (1, 2, 3):
        window = rate.with_start(window, 3, 100, now_ms)
    assert rate.is_full(window, 2, 100, 101)
    assert not rate.is_full(window, 2, 100, 102)


def test_it_is_forgotten_when_its_newest_start_counts_no_longer() -> None:
    window = rate.with_start(rate.with_start(Window(), 5, 100, 1), 5, 100, 50)
    at_ms = rate.forgotten_at_ms(window, 100)
    assert at_ms == 150
    assert rate.is_full(window, 1, 100, at_ms - 1)
    assert not rate.is_full(window, 1, 100, at_ms)
