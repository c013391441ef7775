"""Ranks: who is next among those who wait."""

from __future__ import annotations

from collections import Counter

import pytest
from onward_engine.rules.expressions import ExpressionError
from onward_engine.rules.flow import ranks
from onward_engine.rules.flow.ranks import Share
from onward_protocol.messages import FairRule, FunctionManifest

PRIORITY = FunctionManifest("shop/work", priority="event.data.p")


def rank(value: object, at_ms: int = 10_000_000) -> int:
    return ranks.priority_rank(PRIORITY, {"data": {"p": value}}, at_ms)  # type: ignore[dict-item]


def test_without_options_new_runs_have_one_rank() -> None:
    assert ranks.priority_rank(FunctionManifest("shop/work"), {}, 5) == ranks.NEW


def test_a_priority_moves_a_run_by_so_many_seconds() -> None:
    assert rank(0) - rank(60) == 60_000
    assert rank(60, at_ms=10_060_000) == rank(0)
    assert rank(-60) > rank(0)


def test_nobody_gets_further_than_ten_minutes() -> None:
    assert rank(10**9) == rank(600)
    assert rank(-(10**9)) == rank(-600)


def test_an_urgent_run_is_before_those_that_have_begun_and_these_are_before_new_ones() -> None:
    classes = [ranks.class_of(found) for found in (rank("urgent"), ranks.AGAIN, rank(600), ranks.NEW)]
    assert classes == sorted(classes)
    assert len(set(classes)) == 3


@pytest.mark.parametrize("value", [None, True, "soon", [1]])
def test_a_priority_that_is_neither_a_number_nor_urgent_is_an_error(value: object) -> None:
    with pytest.raises(ExpressionError, match="neither a number of seconds"):
        rank(value)


@pytest.mark.parametrize("weight", ["0", "-1", "'much'", "event.data.none", "1001"])
def test_a_weight_is_a_number_above_zero(weight: str) -> None:
    with pytest.raises(ExpressionError, match="no weight"):
        ranks.share_of(FairRule("event.data.t", weight), {"data": {"t": 1}})


def test_turns_are_shared_by_weight_however_many_wait() -> None:
    waiting: list[tuple[int, str]] = []
    last: Counter[str] = Counter()
    for tenant, weight, count in (("noisy", 1.0, 1_000), ("heavy", 3.0, 300)):
        for _ in range(count):
            last[tenant] = ranks.fair_rank(Share(tenant, weight), 0, last[tenant])
            waiting.append((last[tenant], tenant))
    first = Counter(tenant for _, tenant in sorted(waiting)[:400])
    assert first == {"heavy": 300, "noisy": 100}


def test_who_comes_late_is_next_and_gets_nothing_for_the_time_before() -> None:
    assert ranks.fair_rank(Share("late", 1.0), first=70 * ranks.INTERVAL, last=0) == 70 * ranks.INTERVAL
