"""What can be wrong with an expression.

ExpressionError      its text, or a value that it met
└── TooManySteps     it would take longer than any condition may
"""

from __future__ import annotations

_SHOWN_CHARS_MAX = 200


class ExpressionError(Exception):
    """What is wrong, in a sentence with the place and the expression. `at` is the place in the text, from 0."""

    def __init__(self, message: str, at: int = 0, source: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.source = source

    def __str__(self) -> str:
        return f"{self.message}, at character {self.at + 1} of {_shown(self.source)}"


class TooManySteps(ExpressionError):
    """No logic absorbs it: whether `a || b` is true must not depend on which of the two is long."""


def _shown(source: str) -> str:
    text = source if len(source) <= _SHOWN_CHARS_MAX else source[:_SHOWN_CHARS_MAX] + "…"
    return f"the expression {text!r}"
