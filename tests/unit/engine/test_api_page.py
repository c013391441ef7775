"""`docs/api.md` says what the routes are."""

from __future__ import annotations

from tests.unit.engine.api_reference import PAGE, with_blocks


def test_the_page_is_what_the_routes_are() -> None:
    page = PAGE.read_text()
    assert with_blocks(page) == page, "run: python -m tests.unit.engine.api_reference"
