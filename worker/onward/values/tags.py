"""Tags: the words by which people find a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onward.errors import ConfigError

TAGS_MAX: Final = 32
"""Of one run: each is a row in an index."""
TAG_BYTES_MAX: Final = 256
"""Of a key and of a value."""

TagValue = str | int | float | bool


def tags_of(values: Mapping[str, TagValue]) -> dict[str, str]:
    """Return tags as text. Raises `ConfigError` that names the one that cannot be kept."""
    return {_checked("key", key, key): _checked("value", key, _text(value)) for key, value in values.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"ctx.tag: {value!r} is neither a text nor a number.", code="E0105")


def _checked(what: str, key: str, text: str) -> str:
    from onward_protocol.ids import name_problem

    if problem := (None if text == "" and what == "value" else name_problem(text, TAG_BYTES_MAX)):
        raise ConfigError(f"ctx.tag, '{key}': the {what} {problem}.", code="E0105")
    return text
