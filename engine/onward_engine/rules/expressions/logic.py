"""Closures for logic. An error counts only where nothing else decides."""

from __future__ import annotations

from .errors import ExpressionError, TooManySteps
from .frame import Evaluate, Frame
from .values import Value, kind


def truth(value: Value, what: str, at: int) -> bool:
    """Return a bool, or raise the error for anything else."""
    if value is True or value is False:
        return value
    raise ExpressionError(f"{what} needs true or false, not {kind(value)}", at)


def negation(of: Evaluate, at: int) -> Evaluate:
    """Return `!of`."""
    return lambda frame: not truth(of(frame), "!", at)


def choice(test: Evaluate, then: Evaluate, other: Evaluate, at: int) -> Evaluate:
    """Return `test ? then : other`."""
    return lambda frame: then(frame) if truth(test(frame), "?", at) else other(frame)


def join(parts: list[Evaluate], *, stop: bool, at: int) -> Evaluate:
    """Return `a || b || c`, or `&&` if False stops it."""
    name = "||" if stop else "&&"

    def decide(frame: Frame) -> Value:
        error: ExpressionError | None = None
        for part in parts:
            try:
                if truth(part(frame), name, at) is stop:
                    return stop
            except TooManySteps:
                raise
            except ExpressionError as problem:
                error = problem
        if error is not None:
            raise error
        return not stop

    return decide
