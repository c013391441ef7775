"""The SQL of the store: one file for each group of rows, each statement under a name, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PART = re.compile(r"\{(?:(\w+)\.)?(\w+)\}")


@cache
def statements(group: str) -> dict[str, str]:
    """Return the statements of a file by name.

    `{name}` in one stands for the text of another, `{file.name}` for one of another file.
    """
    text = files("onward_engine.store.sqlite").joinpath("sql", f"{group}.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    found = {name: " ".join(text.split()) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    return {name: _complete(text, found) for name, text in found.items()}


def _complete(text: str, found: dict[str, str]) -> str:
    def part(match: re.Match[str]) -> str:
        group, name = match.groups()
        return statements(group)[name] if group else _complete(found[name], found)

    return _PART.sub(part, text)
