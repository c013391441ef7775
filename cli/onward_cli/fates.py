"""What becomes of a supervisor's workers: decided from how they ended, how large they are and how long they are idle.

asked to end            -> done
sent away by us         -> again: it was too large, or its code has changed
left, the only one      -> done
left                    -> again: somebody has asked this one to
told of an error        -> end: it would be the same again. While code is watched: wait for a change
died, the only one      -> end: whoever runs services starts it again, and sees that it has to
died, nobody ever began -> end
died                    -> again, after a pause
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from onward_cli.plan import Plan

Fate = Literal["done", "again", "wait", "end"]

ERRORS = range(2, 10)
"""The statuses of errors that somebody has to mend, from wrong usage to a version that does not fit."""

TERMINATED = {status for number in (1, 2, 15) for status in (-number, 128 + number)}
"""The statuses of who was asked to end, by SIGHUP, SIGINT or SIGTERM, and had no handler for it."""

MEMORY_PATIENCE = 1.5
"""So many times its limit, a worker that should finish its steps is killed: otherwise the system kills, and in
Kubernetes all processes of a container together.
"""


class Ending(NamedTuple):
    """How a worker ended."""

    status: int
    """A negative one is a signal's number."""

    had_begun: bool
    """The engine has let it in."""

    had_left: bool = False
    """It has said its last word."""

    has_told: bool = False
    """It has ended because of an error that it has told of."""

    was_sent_away: bool = False

    @property
    def exit_status(self) -> int:
        """The status as a shell tells it."""
        return 128 - self.status if self.status < 0 else self.status


def fate_of(ending: Ending, plan: Plan, *, is_ending: bool, has_begun: bool) -> Fate:
    """Return what comes next: the worker is started `again`, or not any more (`done`), or all of them `end`, or `wait`
    for other code. `is_ending`: somebody has asked for it. `has_begun`: some worker had, of the same code.
    """
    if is_ending:
        return "done"
    if ending.was_sent_away:
        return "again"
    if ending.had_left and ending.status == 0 and plan.processes == 1:
        return "done"
    if is_to_mend(ending):
        return "wait" if plan.is_reloading else "end"
    if plan.is_reloading:
        return "again"
    return "again" if plan.processes > 1 and has_begun else "end"


def is_to_mend(ending: Ending) -> bool:
    """Tell whether it has ended because of an error that somebody has to mend."""
    return ending.status in ERRORS and (ending.has_told or not ending.had_begun)


def has_died(ending: Ending) -> bool:
    """Tell whether it ended without a word. Who is asked to end before it has begun, or when it is on its way out, is
    ended by the signal itself.
    """
    has_no_handlers = ending.had_left or ending.has_told or (ending.was_sent_away and not ending.had_begun)
    if has_no_handlers and ending.status in TERMINATED:
        return False
    return ending.status < 0 or (ending.had_begun and not ending.had_left and not ending.has_told)


def next_to_leave(sizes: Mapping[int, int], memory_max: int, leaving: int) -> int | None:
    """Return who is to leave because of its size: the largest above the limit. One at a time: the others work on."""
    if leaving or not sizes:
        return None
    largest = max(sizes, key=lambda number: sizes[number])
    return largest if sizes[largest] > memory_max else None


def is_unbearable(size: int, memory_max: int) -> bool:
    """Tell whether it cannot be waited for any more."""
    return size > memory_max * MEMORY_PATIENCE


def is_over(plan: Plan, *, ran_ms: int, idle_ms: int | None) -> bool:
    """Tell whether all that was asked for is done. `idle_ms`: for how long there has been nothing to do; None: it is
    not known, because there is no connection.
    """
    if plan.runtime_max_ms is not None and ran_ms >= plan.runtime_max_ms:
        return True
    return plan.idle_max_ms is not None and idle_ms is not None and idle_ms >= plan.idle_max_ms
