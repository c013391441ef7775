"""docs/schedules.md: its program ticks as the page says, and its table of clock changes is true."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from onward.testing import TestEngine
from onward_engine.rules import cron, schedules
from onward_protocol.messages import Schedule

from tests.support.pages import Page

PAGE = Page("docs/schedules.md")
FRIDAY = datetime(2026, 5, 8, 17, 50, tzinfo=UTC)


def changes() -> list[tuple[str, str, str, list[str]]]:
    """The rows of the table of clock changes."""
    rows = re.findall(r"^\| `(.+?)` \| (\w+/\w+) \| (\d+ \w+ 2026).*? \| (.+) \|$", PAGE.text, re.MULTILINE)
    return [(expression, tz, day, ticks.split(", ")) for expression, tz, day, ticks in rows]


@pytest.mark.parametrize(("expression", "tz", "day", "ticks"), changes())
def test_a_row_of_the_clock_changes_is_true(expression: str, tz: str, day: str, ticks: list[str]) -> None:
    assert schedules.problem(_function(expression, tz)) is None
    begin = datetime.strptime(day, "%d %B %Y").replace(tzinfo=UTC) - timedelta(days=1)
    found: list[str] = []
    for tick_ms in cron.ticks_ms(expression, tz, round(begin.timestamp() * 1000)):
        text = cron.text_of(tick_ms, tz)
        if text[:10] > f"{begin + timedelta(days=1):%Y-%m-%d}":
            break
        if text[:10] == f"{begin + timedelta(days=1):%Y-%m-%d}":
            found.append(text[11:16] + text[19:])
    assert found == ticks


def test_the_table_has_both_changes_of_both_zones() -> None:
    assert len({(tz, day) for _, tz, day, _ in changes()}) == 4


async def test_the_program_ticks() -> None:
    page = PAGE.program()
    async with TestEngine(page.functions, now=FRIDAY) as engine:
        await engine.advance("3d")
        outputs = [(run.function.id, run.output) for run in engine.runs]
    nightly = [output for function, output in outputs if function == "shop/nightly"]
    assert nightly[0] == "from 2026-05-08 03:00:00+02:00 to 2026-05-09 03:00:00+02:00"
    assert len(nightly) == 3
    clean = [output for function, output in outputs if function == "shop/clean"]
    assert clean[:4] == [f"2026-05-08T18:{minute:02}:00+00:00" for minute in (0, 15, 30, 45)]
    assert "2026-05-10T00:00:00+00:00" in clean


def test_the_page_names_the_limits_that_hold() -> None:
    assert f"the newest {schedules.CATCH_UP_MAX:,} at most" in PAGE.text
    assert f"A function may have {schedules.SCHEDULES_MAX} schedules" in PAGE.text
    assert all(f"`{alias}`" in PAGE.text for alias in cron.ALIASES)


def _function(expression: str, tz: str) -> Any:
    from onward_protocol.messages import FunctionManifest

    return FunctionManifest("shop/f", schedules=(Schedule(expression, tz),))
