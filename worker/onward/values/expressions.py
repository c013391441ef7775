"""What can be said of an expression without reading it. Only the engine reads them, when the worker registers."""

from __future__ import annotations

import re
from typing import Final

CHARS_MAX: Final = 4096
"""What the engine reads at most."""

_TEXT_OR_COMMENT: Final = re.compile(
    r"""
    //[^\n]*
  | [rR](?: "{3}[\s\S]*?"{3} | '{3}[\s\S]*?'{3} | "[^"\n]*" | '[^'\n]*' )
  | "{3}(?:\\[\s\S]|[^\\])*?"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
  | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    """,
    re.VERBOSE,
)
_EVENT: Final = re.compile(r"(?<![\w.])event\b")
_LOOSE_DOT: Final = re.compile(r"\.\s*(?:$|[^\w\s])")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


def expression_problem(source: str) -> str | None:
    """Say why `source` cannot be an expression, in words that continue "the expression ..."; None if it may be one."""
    if not source.strip():
        return f"{source!r} is empty"
    if len(source) > CHARS_MAX:
        return f"is {len(source):,} characters long; {CHARS_MAX:,} are allowed"
    code = _code(source)
    if "'" in code or '"' in code:
        return f"{source!r} has a text without its end"
    if _LOOSE_DOT.search(code):
        return f"{source!r} has a '.' without a name behind it"
    return None if _is_balanced(code) else f"{source!r} has a bracket without its counterpart"


def key_problem(source: str) -> str | None:
    """The same for a key: it has to depend on the event."""
    if problem := expression_problem(source):
        return problem
    return None if _EVENT.search(_code(source)) else f"{source!r} does not read `event`"


def _code(source: str) -> str:
    """Return what is left without texts and comments."""
    return _TEXT_OR_COMMENT.sub(lambda found: " " if found[0].startswith("//") else "0", source)


def _is_balanced(code: str) -> bool:
    open_ones: list[str] = []
    for character in code:
        if character in _CLOSING:
            open_ones.append(_CLOSING[character])
        elif character in _CLOSING.values() and (not open_ones or open_ones.pop() != character):
            return False
    return not open_ones
