"""Runs with limits end well, badly and cancelled while workers and engines are killed, for some seconds.

`python -m tests.limits` does the same for a hundred thousand runs.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.limits.campaign import Order, campaign
from tests.support.postgres import why_not

ADMISSIONS = {"sqlite": 1_000, "postgres": 400}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes the POSIX way")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ADMISSIONS)
def test_nobody_is_let_in_beyond_a_limit_and_no_place_is_left_over(store: str, tmp_path: Path) -> None:
    is_postgres = store == "postgres"
    if is_postgres and why_not():
        pytest.skip(why_not())
    order = Order(ADMISSIONS[store], is_postgres=is_postgres)
    verdict = asyncio.run(campaign(order, tmp_path / "arena"))
    assert verdict.problems == []
    assert verdict.admissions >= order.admissions
    assert verdict.kills >= order.kills_min
    assert verdict.most["one"] == 1
