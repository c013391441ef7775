"""docs/middleware.md: the programs work, and what its tables promise is so."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise

import pytest
from onward.middleware import Encryption, Middleware, PayloadInfo
from onward.testing import TestEngine

from tests.support.pages import Page

PAGE = Page("docs/middleware.md")
INPUT = PayloadInfo("input", "shop/process_order")


@pytest.mark.parametrize("name", PAGE.tests())
async def test_a_test_of_the_page_passes(name: str) -> None:
    await PAGE.run_test(name)


def test_every_hook_has_its_row_with_its_arguments() -> None:
    rows = dict(re.findall(r"^\| `(\w+)\(([\w, ]+)\)` \|", PAGE.text, re.MULTILINE))
    hooks = {name: hook for name, hook in vars(Middleware).items() if inspect.iscoroutinefunction(hook)}
    assert rows == {name: ", ".join(list(inspect.signature(hook).parameters)[1:]) for name, hook in hooks.items()}


async def test_neighbouring_deployments_of_keys_read_each_other() -> None:
    page = PAGE.program()
    before: Encryption = Encryption({"2026-01": page.old})
    deployments: list[Encryption] = [before, page.first, page.second, page.third]
    for one, other in pairwise(deployments):
        assert await other.decode(await one.encode(b"\xa1x", INPUT), INPUT) == b"\xa1x"
        assert await one.decode(await other.encode(b"\xa1x", INPUT), INPUT) == b"\xa1x"


async def test_the_page_s_own_store_keeps_what_is_large() -> None:
    page = PAGE.program()
    async with TestEngine(page.copies, crash_everywhere=True) as engine:
        run = await engine.start(page.repeat, 600)
        assert run.output == "ab" * 600
    assert len(page.bucket.objects) == 1
