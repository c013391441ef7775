"""No statement reads rows that it does not need: its cost must not grow with backlog or with history."""

from __future__ import annotations

import re

import pytest
from onward_engine.store.sqlite.opening import MEMORY, open_for_writing
from onward_engine.store.sqlite.statements import statements

READ_WHOLE = {
    "held",  # once, at the start
    "release_sessions",
    "apps",  # as many as there are apps
    "replicas",  # one
    "next_row_due",  # the first entry of its index
    "count_later",  # runs that wait for their workers: a few, and a bounded number of them
    "last_journal",  # the end of the table
    "columns",
    "tags",
}
STATEMENTS = [
    (group, name, text)
    for group in ("runs", "events", "queue", "places", "queued", "waits", "reads", "sessions")
    for name, text in statements(group).items()
    if name not in READ_WHOLE
]

PAGES = {name: text for name, text in statements("lists").items() if re.match("(event_)?(page|end)_", name)}
SORTED = {"ids", "prefix"}
"""What is asked for by id is sorted by age: not more than a page or two days of runs."""


@pytest.mark.parametrize(("group", "name", "text"), STATEMENTS, ids=[f"{g}.{n}" for g, n, _ in STATEMENTS])
def test_a_statement_finds_its_rows_by_an_index(group: str, name: str, text: str) -> None:
    del group, name
    plan = plan_of(text)
    assert [line for line in plan if line.startswith("SCAN") and not _is_small(line)] == []
    assert [line for line in plan if "USE TEMP B-TREE" in line] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_a_part_of_one_index_in_its_order(name: str) -> None:
    plan = plan_of(PAGES[name])
    assert [line for line in plan if line.startswith("SCAN") and not _is_small(line)] == []
    assert name.rpartition("_")[2] in SORTED or [line for line in plan if "USE TEMP B-TREE" in line] == []


def plan_of(text: str) -> list[str]:
    db = open_for_writing(MEMORY, lambda: "history")
    named = dict.fromkeys(re.findall(r":(\w+)", text), 1)
    values = named or (1,) * text.count("?")
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    db.close()
    return plan


def _is_small(line: str) -> bool:
    return line.split()[1] in ("chain", "found", "CONSTANT", "json_each", "wanted", "(subquery-1)")
