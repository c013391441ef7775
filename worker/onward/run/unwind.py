"""How the coroutines of a sealed run are ended: never by the garbage collector.

A dropped coroutine's `finally` blocks would run in the context of whatever run is executing, and make tasks in that
run's branch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from onward.replay.turn import RunTask, Turn

log: Final = logging.getLogger("onward.run")

ROUNDS: Final = 20
"""How often tasks that caught their cancellation are cancelled again before the patience is over."""


def has_unwound(turn: Turn) -> bool:
    """Tell whether every task of the run has ended by itself, and let go of them then."""
    if not all(task.done() for task in turn.tasks):
        return False
    _ignore_errors(turn.tasks)
    turn.tasks.clear()
    return True


async def unwind(turn: Turn, patience_ms: int) -> None:
    """End every task of the run: cancel them until they are done, and close what is left after `patience_ms`."""
    seen: set[RunTask] = set()
    for _ in range(ROUNDS):
        if not turn.tasks:
            break
        seen |= turn.tasks
        for task in list(turn.tasks):
            task.cancel()
        await asyncio.wait(list(turn.tasks), timeout=patience_ms / 1000 / ROUNDS)
    for task in list(turn.tasks):
        _close(task)
    turn.tasks.clear()
    _ignore_errors(seen)


def _close(task: RunTask) -> None:
    """Close the coroutine in its own context, where the run is sealed; it may stop in the middle of a `finally`."""
    coro: Any = task.get_coro()  # None once an eager task has finished
    try:
        if coro is not None:
            task.context.run(coro.close)
    except BaseException:
        log.debug("a coroutine was closed by force", exc_info=True)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def _ignore_errors(tasks: Iterable[RunTask]) -> None:
    """Look at late errors, so that asyncio does not report them as forgotten."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
