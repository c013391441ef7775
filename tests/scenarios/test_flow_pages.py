"""The pages on flow control: their tests pass, and their pictures show what really happens."""

from __future__ import annotations

from typing import get_args

import pytest
from onward_engine.rules.flow.reasons import Code
from onward_protocol.options import EXCLUSIVE, FOR_EVENTS

from tests.support.bursts import Burst, bursts
from tests.support.pages import Page

NAMES = (
    *("flow-control", "concurrency", "throttling", "rate-limits", "debouncing", "batching", "priority"),
    *("singletons", "idempotency"),
)
PAGES = {name: Page(f"docs/{name}.md") for name in NAMES}
PICTURES = [(name, burst, picture) for name, page in PAGES.items() for burst, picture in bursts(page)]


@pytest.mark.parametrize(("name", "test"), [(name, test) for name, page in PAGES.items() for test in page.tests()])
async def test_a_test_of_the_page_passes(name: str, test: str) -> None:
    await PAGES[name].run_test(test)


@pytest.mark.parametrize(
    ("name", "burst", "picture"), PICTURES, ids=[f"{name}-{burst.function}" for name, burst, _ in PICTURES]
)
async def test_a_picture_shows_what_happens(name: str, burst: Burst, picture: str) -> None:
    assert await burst.drawn(PAGES[name].program()) == picture


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_page_has_a_picture(name: str) -> None:
    assert bursts(PAGES[name])


@pytest.mark.parametrize("code", get_args(Code))
def test_every_reason_of_a_run_that_waits_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGES["flow-control"].text.partition("## Why does it not start?")[2]


def test_the_options_that_exclude_each_other_are_named() -> None:
    text = PAGES["flow-control"].text.partition("## What does not go together")[2].partition("##")[0]
    rules = [rule.split("`")[1::2] for rule in text.partition(":")[2].partition(".")[0].split(";")]
    assert {(one, other) for one, *others in rules for other in others} == set(EXCLUSIVE)


def test_the_picture_of_the_way_has_everything_that_needs_events() -> None:
    way = PAGES["flow-control"].blocks("text")[0].partition("priority")[0].replace(" ", "_")
    assert [option for option in FOR_EVENTS if option not in way] == []
