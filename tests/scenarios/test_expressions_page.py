"""docs/expressions.md: every line of it is true, and the program works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onward.testing import TestEngine
from onward_engine.rules.conditions import WAIT
from onward_engine.rules.expressions import ExpressionError, condition, expression
from onward_engine.rules.expressions.limits import DEPTH_MAX, PATTERN_NODES_MAX, SOURCE_CHARS_MAX, STEPS_MAX

from tests.support.pages import Page

PAGE = Page("docs/expressions.md")


def lines() -> list[tuple[str, str]]:
    """Return each example and what it gives: what its comment says, and otherwise true."""
    parted = [line.partition(" // ") for block in PAGE.blocks("cel") for line in block.splitlines()]
    return [(source.rstrip(), note.strip()) for source, _, note in parted]


EVENTS: dict[str, Any] = msgspec.json.decode(PAGE.blocks("json")[0])


def outcome(source: str) -> str:
    """Return what the engine makes of an example, in the words of the page."""
    try:
        condition(source, WAIT)
    except ExpressionError as error:
        return f"invalid: {error}"
    try:
        value = expression(source, WAIT).value(EVENTS["event"], EVENTS["async"])
        condition(source, WAIT).holds(EVENTS["event"], EVENTS["async"])
    except ExpressionError as error:
        return f"error: {error}"
    return msgspec.json.encode(value).decode()


@pytest.mark.parametrize(("source", "note"), lines())
def test_an_example_gives_what_the_page_says(source: str, note: str) -> None:
    is_told = note in {"null", "false"} or note.startswith(("error: ", "invalid: "))
    assert outcome(source).startswith(note if is_told else "true")


def test_the_page_names_the_limits_that_hold() -> None:
    rows = ("text", SOURCE_CHARS_MAX), ("nesting", DEPTH_MAX), ("steps", STEPS_MAX), ("a pattern", PATTERN_NODES_MAX)
    for name, limit in rows:
        assert f"| {name} | {limit:,} " in PAGE.text


async def test_the_program_starts_and_waits_by_its_conditions() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions) as engine:
        assert await engine.send(page.OrderPlaced(page.Order("small", 100))) == []
        [run] = await engine.send(page.OrderPlaced(page.Order("o1", 101)))
        await engine.send(page.OrderPaid(page.Order("o2", 500)), page.OrderPaid(page.Order("o1", 100)))
        assert run.status == "parked"
        await engine.send(page.OrderPaid(page.Order("o1", 200)))
        assert run.output == 200
