"""Closures for what is done with each item of a list, or each key of a map."""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from .errors import ExpressionError, TooManySteps
from .frame import Evaluate, Frame, charge
from .logic import truth
from .values import Value, mismatch


class Loop(Struct, frozen=True):
    """What all of them need: where the items come from and go to, what is asked of each, and what that costs."""

    name: str
    of: Evaluate
    slot: int
    test: Evaluate | None
    result: Evaluate | None
    steps: int
    at: int

    def items(self, frame: Frame) -> list[Value]:
        """Return what is gone through; its steps are taken beforehand, so that they depend on the event alone."""
        value = self.of(frame)
        if not isinstance(value, list | dict):
            mismatch(f"{self.name}()", self.at, value)
        charge(frame, len(value) * self.steps, self.at)
        return value if isinstance(value, list) else cast("list[Value]", list(value))

    def holds(self, frame: Frame, item: Value) -> bool:
        """Tell whether the test holds for an item."""
        assert self.test is not None, "asked only of what has a test"
        frame[self.slot] = item
        return truth(self.test(frame), self.name, self.at)


def search(loop: Loop, *, stop: bool) -> Evaluate:
    """Return `exists`, or `all` if False stops it. An error counts only if no item decides."""

    def run(frame: Frame) -> Value:
        error: ExpressionError | None = None
        for item in loop.items(frame):
            try:
                if loop.holds(frame, item) is stop:
                    return stop
            except TooManySteps:
                raise
            except ExpressionError as problem:
                error = problem
        if error:
            raise error
        return not stop

    return run


def exists_one(loop: Loop) -> Evaluate:
    """Return whether the test holds for exactly one item."""
    return lambda frame: sum([loop.holds(frame, item) for item in loop.items(frame)]) == 1


def keep(loop: Loop) -> Evaluate:
    """Return `filter`."""
    return lambda frame: [item for item in loop.items(frame) if loop.holds(frame, item)]


def change(loop: Loop) -> Evaluate:
    """Return `map`."""
    result = loop.result
    assert result is not None, "checked by the parser"

    def run(frame: Frame) -> Value:
        results: list[Value] = []
        for item in loop.items(frame):
            if loop.test is None or loop.holds(frame, item):
                frame[loop.slot] = item
                results.append(result(frame))
        return results

    return run
