"""Tasks that begin where they are made, instead of one turn of the event loop later."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def begin(
    coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: Context, current: asyncio.Task[Any]
) -> asyncio.Task[T]:
    """Make a task in `context` and run it up to its first wait. It may be over when this returns.

    The code of the task `current` calls this.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(coro, loop=loop, context=context, eager_start=True)
    turns: list[Callable[[], object]] = []
    soon = loop.call_soon

    def keep(turn: Callable[[], object], **_: object) -> None:
        turns.append(turn)

    loop.call_soon = keep  # type: ignore[assignment, method-assign]
    try:
        task = asyncio.Task(coro, loop=loop, context=context)  # asks for its first turn
    finally:
        loop.call_soon = soon  # type: ignore[method-assign]
    asyncio.tasks._leave_task(loop, current)
    try:
        context.run(turns[0])
    finally:
        asyncio.tasks._enter_task(loop, current)
    return task
