"""Every promise on the page of guarantees is shown by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
PROMISES = re.split(r"^\*\*(?=G\d+ )", PAGE, flags=re.MULTILINE)[1:]


def existing_tests() -> set[str]:
    """Return the names of all test functions."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text("utf-8"), flags=re.MULTILINE))
    return found


def test_every_test_that_the_page_names_exists() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= existing_tests()


def test_every_promise_names_a_test() -> None:
    assert [promise.split()[0] for promise in PROMISES] == [f"G{number}" for number in range(1, 15)]
    assert all("`test_" in promise for promise in PROMISES)
