"""Throttles: never more starts in a period than they say, and never fewer than they could."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from onward_engine.rules.flow import throttle
from onward_protocol.messages import ThrottleRule

RULES = st.builds(ThrottleRule, st.integers(1, 50), st.integers(1, 5_000), st.integers(1, 10))


def begun(rule: ThrottleRule, moments: list[int]) -> list[int]:
    """Return at which of these moments a run begins, if as many begin as may."""
    arrival_us = 0
    found: list[int] = []
    for now_ms in moments:
        if throttle.tokens(rule, rule.limit, arrival_us, now_ms) > 0:
            arrival_us = throttle.consumed(rule, rule.limit, arrival_us, now_ms)
            found.append(now_ms)
    return found


@given(RULES, st.lists(st.integers(0, 40), max_size=200))
def test_no_window_of_a_period_has_more_starts_than_the_limit_and_the_burst(
    rule: ThrottleRule, gaps_ms: list[int]
) -> None:
    starts = begun(rule, list(accumulate(gaps_ms, initial=1_000)))
    for index, first in enumerate(starts):
        window = [start for start in starts[index:] if start < first + rule.period_ms]
        assert len(window) <= rule.limit + rule.burst - 1


def test_a_steady_crowd_begins_at_the_rate_of_the_limit() -> None:
    rule = ThrottleRule(10, 1_000)
    assert begun(rule, list(range(1_000, 2_000))) == [1_000 + 100 * n for n in range(10)]


def test_a_burst_begins_at_once_and_the_rest_at_the_rate() -> None:
    rule = ThrottleRule(10, 1_000, burst=3)
    moments = [1_000] * 5 + list(range(1_001, 1_401))
    assert begun(rule, moments) == [1_000, 1_000, 1_000, 1_100, 1_200, 1_300, 1_400]


@given(RULES, st.integers(0, 10**7), st.integers(1, 10))
def test_the_next_moment_is_the_first_at_which_so_many_may_begin(
    rule: ThrottleRule, arrival_us: int, count: int
) -> None:
    wanted = min(count, rule.burst)
    at_ms = throttle.next_at_ms(rule, rule.limit, arrival_us, count)
    assert throttle.tokens(rule, rule.limit, arrival_us, at_ms) >= wanted
    assert throttle.tokens(rule, rule.limit, arrival_us, at_ms - 1) < wanted
