"""`docs/waiting.md` and `docs/children.md`: every block runs, and so does every test that stands there."""

import pytest

from tests.support.pages import Page

WAITING, CHILDREN = Page("docs/waiting.md"), Page("docs/children.md")


@pytest.mark.parametrize("name", WAITING.tests())
async def test_a_test_of_the_page_on_waiting_passes(name: str) -> None:
    await WAITING.run_test(name)


@pytest.mark.parametrize("name", CHILDREN.tests())
async def test_a_test_of_the_page_on_children_passes(name: str) -> None:
    await CHILDREN.run_test(name)
