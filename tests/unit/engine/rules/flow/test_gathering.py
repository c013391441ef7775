"""How events become one run: when it begins, and which of them it gets, in whatever order they come."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from onward_engine.rules.flow import gathering as rules
from onward_engine.rules.flow.gathering import Gathered
from onward_protocol.limits import Limits
from onward_protocol.messages import BatchRule, DebounceRule, Event

LIMITS = Limits()


def event(ts_ms: int = 0, size: int = 1) -> Event:
    return Event("evt", "told", b"1" * size, ts_ms, 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-100, 100)), min_size=1, max_size=30))
def test_the_newest_event_wins_in_any_order_and_of_equals_the_later(arrivals: list[tuple[int, int]]) -> None:
    gathered, newest = Gathered("run", 0, "evt", arrivals[0][1]), 0
    for index, (_, ts_ms) in enumerate(arrivals[1:], 1):
        if rules.is_newest(gathered, event(ts_ms)):
            newest = index
        gathered = rules.with_event(DebounceRule(1), gathered, event(ts_ms))
    assert newest == max(range(len(arrivals)), key=lambda index: (arrivals[index][1], index))
    assert gathered.count == len(arrivals)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 40), st.none() | st.integers(1, 200))
def test_a_run_begins_once_in_each_quiet_period_and_never_later_than_its_timeout(
    gaps: list[int], period_ms: int, timeout_ms: int | None
) -> None:
    rule = DebounceRule(period_ms, timeout_ms=timeout_ms)
    begun, now_ms, since_ms, due_ms = list[int](), 0, -1, -1
    for gap in gaps:
        now_ms += gap
        if since_ms >= 0 and due_ms <= now_ms:
            begun.append(due_ms)
            since_ms = -1
        since_ms = now_ms if since_ms < 0 else since_ms
        due_ms = rules.until_ms(rule, since_ms, now_ms)
        assert now_ms < due_ms <= now_ms + period_ms
        assert timeout_ms is None or due_ms <= since_ms + timeout_ms
    if timeout_ms is None:
        assert all(second - first >= period_ms for first, second in pairwise(begun))


def test_the_timeout_of_a_batch_counts_from_its_first_event() -> None:
    assert rules.until_ms(BatchRule(5, 1_000), since_ms=100, now_ms=900) == 1_100


def test_a_batch_is_full_at_its_size_and_a_window_at_a_thousand() -> None:
    batch, window = BatchRule(5, 1_000), DebounceRule(1_000, deliver="all")
    assert [rules.is_full(batch, Gathered("run", 0, "evt", 0, count)) for count in (4, 5)] == [False, True]
    assert [rules.is_full(window, Gathered("run", 0, "evt", 0, count)) for count in (999, 1_000)] == [False, True]
    assert not rules.is_full(DebounceRule(1_000), Gathered("run", 0, "evt", 0, 5_000))


def test_half_of_what_a_run_may_hold_is_left_to_its_steps() -> None:
    batch, half = BatchRule(5, 1_000), LIMITS.state_bytes_max // 2
    gathered, size = Gathered("run", 0, "evt", 0, has_all=True), rules.size_of(event())
    assert rules.has_room(batch, gathered, half - size, event(), LIMITS)
    assert not rules.has_room(batch, gathered, half - size + 1, event(), LIMITS)
    newest = Gathered("run", 0, "evt", 0)
    assert rules.has_room(DebounceRule(1_000), newest, half, event(size=100), LIMITS)


def test_a_run_takes_no_events_of_another_rule_than_its_own() -> None:
    newest, every = Gathered("run", 0, "evt", 0), Gathered("run", 0, "evt", 0, has_all=True)
    assert not rules.has_room(DebounceRule(1_000), every, 1, event(), LIMITS)
    assert not rules.has_room(DebounceRule(1_000, deliver="all"), newest, 1, event(), LIMITS)


def test_what_an_event_carries_beside_its_data_takes_room_as_well() -> None:
    heavy = Event("evt", "told", b"1", 0, 0, meta={"trace": "x" * 1_000})
    assert rules.size_of(heavy) - rules.size_of(event()) > 1_000


def test_a_run_that_waits_for_a_worker_is_looked_at_ever_less_often() -> None:
    gathered = Gathered("run", 0, "evt", 0, is_due=True)
    assert rules.looked_at_ms(gathered, 10) == 60_010
    assert rules.looked_at_ms(gathered, 3_600_000) == 7_200_000
