"""docs/concepts.md: one word for each idea, each with one meaning."""

from __future__ import annotations

import re

from tests.support.pages import ROOT, Page

WORDS = re.findall(r"^\| \*\*(.+?)\*\* \|", Page("docs/concepts.md").text, re.MULTILINE)


def test_each_word_is_explained_once() -> None:
    assert len(WORDS) == len(set(WORDS)) > 40


def test_each_word_is_used_elsewhere_in_the_documentation() -> None:
    pages = [path for path in (ROOT / "docs").glob("*.md") if path.name != "concepts.md"]
    text = " ".join(path.read_text(encoding="utf-8").lower() for path in pages)
    assert [word for word in WORDS if not re.search(rf"\b{word}", text)] == []
