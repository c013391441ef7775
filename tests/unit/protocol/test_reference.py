from __future__ import annotations

from tests.unit.protocol.reference import PAGE, with_blocks


def test_the_protocol_page_shows_the_wire_as_it_is() -> None:
    page = PAGE.read_text()
    assert with_blocks(page) == page, "run: python -m tests.unit.protocol.reference"
