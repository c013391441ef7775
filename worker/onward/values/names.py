"""Names that people give to apps, functions, events and steps."""

from __future__ import annotations

import re
from typing import Final

from onward.errors import ConfigError

NAME_BYTES_MAX: Final = 160
"""A key is made of a name, the branch of the task and a number; this leaves room for them in the 256 bytes of a key."""

_PLAIN: Final = re.compile(r"[\w.-]+", re.ASCII)


def check_name(owner: str, name: str, where: str = "") -> None:
    """Raise `ConfigError` if `name` cannot name an event or a step. `owner` begins the sentence."""
    from onward_protocol.ids import name_problem  # hashes and limits take 8 ms that `import onward` need not pay

    if problem := name_problem(name, NAME_BYTES_MAX):
        raise ConfigError(f"{owner}: the name {name!r} {problem}.", code="E0102", where=where)


def check_plain_name(owner: str, name: str, where: str = "") -> None:
    """Raise `ConfigError` if `name` cannot be a part of a function's id, which is "app/name"."""
    check_name(owner, name, where)
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"{owner}: the name {name!r} has other characters than letters, digits, '_', '.' and '-'.",
            code="E0102",
            where=where,
        )
