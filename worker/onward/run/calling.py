"""Where a durable call comes from."""

from __future__ import annotations

import asyncio
from inspect import CO_COROUTINE
from types import FrameType
from typing import Any, Final

from onward.replay.turn import Turn
from onward.run.intercept import intercepted

_TURN_OF_A_TASK: Final = Turn.fire.__code__
_OURS: Final = intercepted.__code__


def waiting_task(frame: FrameType | None, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any] | None:
    """Return the running task if it waits as soon as the coroutine of this frame does: each of its coroutines awaits
    the next one, none is driven by hand, and it is no eager task within the code of another one. A task that was
    cancelled and has not heard of it hears of it there, and does not wait.
    """
    while frame is not None and (frame.f_code.co_flags & CO_COROUTINE or frame.f_code is _OURS):
        frame = frame.f_back
    if frame is None or frame.f_code is not _TURN_OF_A_TASK:
        return None
    task = asyncio.current_task(loop)
    return None if task is None or task._must_cancel else task  # type: ignore[attr-defined]
