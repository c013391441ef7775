"""The SQL of a store: one file for each group of rows, each statement under a name, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PART = re.compile(r"\{(?:(\w+)\.)?(\w+)\}")


@cache
def statements(package: str, group: str) -> dict[str, str]:
    """Return the statements of a file in the package's folder `sql` by name.

    `{name}` in one stands for the text of another, `{file.name}` for one of another file.
    """
    text = files(package).joinpath("sql", f"{group}.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    found = {name: " ".join(text.split()) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    return {name: _complete(package, text, found) for name, text in found.items()}


def _complete(package: str, text: str, found: dict[str, str]) -> str:
    def part(match: re.Match[str]) -> str:
        group, name = match.groups()
        return statements(package, group)[name] if group else _complete(package, found[name], found)

    return _PART.sub(part, text)
