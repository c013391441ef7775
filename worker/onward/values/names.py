"""Names that people give to apps, functions, events and steps."""

from __future__ import annotations

import re
from typing import Final

from onward.errors import ConfigError

NAME_BYTES_MAX: Final = 160
"""A key is made of a name, the branch of the task and a number; this leaves room for them in the 256 bytes of a key."""

SCOPE_BYTES_MAX: Final = 40
"""It stands in the key of every call inside, beside the call's own name."""

_PLAIN: Final = re.compile(r"[\w.-]+", re.ASCII)


def check_name(owner: str, name: str, where: str = "") -> None:
    """Raise `ConfigError` if `name` cannot name an event or a step. `owner` begins the sentence."""
    from onward_protocol.ids import name_problem  # hashes and limits take 8 ms that `import onward` need not pay

    if not hasattr(name, "encode"):  # who has no type checker may name something else
        check_text(owner, name, where)
    if problem := name_problem(name, NAME_BYTES_MAX):
        raise ConfigError(f"{owner}: the name {name!r} {problem}.", code="E0102", where=where)


def check_text(owner: str, text: object, where: str = "") -> None:
    """Raise `ConfigError` naming `owner` if `text` is something else than text that can be written."""
    try:
        if isinstance(text, str):
            text.encode()
            return
    except UnicodeEncodeError:
        pass
    raise ConfigError(f"{owner}: {text!r} is not valid text.", code="E0125", where=where)


def check_scope(name: str) -> None:
    """Raise `ConfigError` if `name` cannot name a scope."""
    check_name("ctx.scope", name)
    if len(name.encode()) > SCOPE_BYTES_MAX:
        raise ConfigError(f"ctx.scope: the name {name!r} has more than {SCOPE_BYTES_MAX} bytes.", code="E0102")


def check_plain_name(owner: str, name: str, where: str = "") -> None:
    """Raise `ConfigError` if `name` cannot be a part of a function's id, which is "app/name"."""
    check_name(owner, name, where)
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"{owner}: the name {name!r} has other characters than letters, digits, '_', '.' and '-'.",
            code="E0102",
            where=where,
        )
