"""Where closures find values: one list for each evaluation.

The first item is how many steps are left, then come the variables, then the items of the macros that are at work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from .errors import TooManySteps
from .limits import STEPS_MAX
from .values import Value

Frame: TypeAlias = list[Value]
Evaluate: TypeAlias = Callable[[Frame], Value]

FIRST_SLOT = 1


def charge(frame: Frame, steps: int, at: int) -> None:
    """Take steps from what is left."""
    left = cast("int", frame[0]) - steps
    frame[0] = left
    if left < 0:
        raise TooManySteps(f"it takes more than {STEPS_MAX} steps on this event", at)
