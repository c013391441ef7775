"""docs/cancelling.md and docs/controlling.md: their programs do what the pages say."""

from __future__ import annotations

import pytest
from onward.testing import TestEngine

from tests.support.pages import Page

CANCELLING = Page("docs/cancelling.md")
CONTROLLING = Page("docs/controlling.md")


@pytest.mark.parametrize("name", CONTROLLING.tests())
async def test_a_test_of_the_page_passes(name: str) -> None:
    await CONTROLLING.run_test(name)


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_an_event_cancels_the_order_that_it_names(crash_everywhere: bool) -> None:
    page = CANCELLING.program()
    async with TestEngine(page.functions, crash_everywhere=crash_everywhere) as engine:
        mine, other = await engine.send(page.OrderPlaced(page.Order("o1", 1)), page.OrderPlaced(page.Order("o2", 1)))
        await engine.send(page.OrderWithdrawn(page.Order("o1", 1)))
        assert (mine.status, other.status) == ("cancelled", "parked")
        await engine.advance("2d")
        assert other.status == "cancelled"
        assert page.released == ["place of o1", "place of o2"]


async def test_a_run_that_was_kept_from_starting_for_an_hour_is_cancelled() -> None:
    page = CANCELLING.program()
    async with TestEngine(page.functions) as engine:
        await engine.pause(page.process)
        [run] = await engine.send(page.OrderPlaced(page.Order("o1", 1)))
        statuses: list[str] = []
        for seconds in (3_599, 1):
            await engine.advance(seconds)
            statuses.append(run.status)
        assert statuses == ["queued", "cancelled"]
        assert page.released == []
