"""The pages on steps, sleeping, changing code and cancelling: what their tests say is true."""

from __future__ import annotations

import pytest

from tests.support.pages import Page

PAGES = [Page(f"docs/{name}.md") for name in ("steps", "sleeping", "changing-code", "cancelling")]


TESTS = [pytest.param(page, name, id=f"{page.path.stem}-{name}") for page in PAGES for name in page.tests()]


@pytest.mark.parametrize(("page", "name"), TESTS)
async def test_a_test_of_the_page_passes(page: Page, name: str) -> None:
    await page.run_test(name)
