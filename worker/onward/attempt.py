"""The attempt of a step that the calling code is part of: what its body may know of it, and its sign of life."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from msgspec import Struct


def nobody_listens() -> None:
    """No limit counts from this sign of life."""


class StepAttempt(Struct):
    """One attempt of a step. `id` is the step's name, and `key` its place in the run `run_id`: the two together are the
    same on each attempt, good as an idempotency key for the outside world.

    `attempt` counts from 1. `details` is what the attempt before it left with `heartbeat`, if that was in this process;
    otherwise None.
    """

    id: str = ""
    key: str = ""
    run_id: str = ""
    attempt: int = 1
    max_attempts: int = 1
    details: Any = None
    _beat: Callable[[], None] = nobody_listens
    _left: Any = None

    def heartbeat(self, details: Any = None) -> None:
        """Say that the body goes on: its `heartbeat` limit counts anew from here. Takes no time; call it often.

        `details`, if given, are what a next attempt finds in its own `details`, to go on where this one was.
        """
        if details is not None:
            self._left = details
        self._beat()

    def left(self) -> Any:
        """Return the newest details that are known, for the next attempt."""
        return self.details if self._left is None else self._left


present: ContextVar[Callable[[], StepAttempt] | None] = ContextVar("onward_present_attempt", default=None)
"""Set inside the body of a step and in middleware, where durable calls raise `StepInsideStep`: tells the attempt to
those few bodies that ask.
"""


def current_step() -> StepAttempt:
    """Return the attempt that the calling body is.

    Elsewhere it is a first attempt of nothing: a step's function that is called outside of a run is an ordinary one.
    """
    tell = present.get()
    return StepAttempt() if tell is None else tell()
