"""Runs and functions are paused and resumed while everything else goes on and goes wrong: all ends as it should."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.meddler import live

FOUND = (157, 807)
"""An orphan that was paused gave its place away while its holder still executed it: the limit was exceeded (157), and a
body ran twice (807).
"""

SEEDS = 40


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_wrong_once_stays_right(seed: int) -> None:
    assert live(seed).violations == []


def test_pausing_loses_and_repeats_nothing_whatever_else_happens() -> None:
    marks: Counter[str] = Counter()
    for seed in range(SEEDS):
        result = live(seed)
        assert result.violations == [], seed
        marks += result.marks
    assert {"pause paused", "pause pausing"} <= marks.keys()
