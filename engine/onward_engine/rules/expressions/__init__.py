"""Conditions on events, in a subset of the Common Expression Language: read once, then closures over plain values.

    source -> lexer -> parser -> nodes -> compiler -> Expression

Nothing here knows a loop, a clock or a database, and no expression can take long: its text, its depth and its steps are
bounded, and patterns are matched in linear time. docs/expressions.md is the language as users see it, with all that
differs from CEL.
"""

from .equalities import Term
from .errors import ExpressionError, TooManySteps
from .expression import Expression, condition, expression
from .fields import item
from .limits import DEPTH_MAX, SOURCE_CHARS_MAX, STEPS_MAX
from .values import Value

__all__ = [
    "DEPTH_MAX",
    "SOURCE_CHARS_MAX",
    "STEPS_MAX",
    "Expression",
    "ExpressionError",
    "Term",
    "TooManySteps",
    "Value",
    "condition",
    "expression",
    "item",
]
