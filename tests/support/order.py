"""What gives a loop one order: timers and tasks with a number, and a shuffle that keeps asyncio's promises."""

import asyncio
import contextvars
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Timer(asyncio.TimerHandle):
    """A timer with a fixed place among the timers of the same moment; a bare heap gives them any order."""

    __slots__ = ("key",)

    def __init__(
        self,
        place: tuple[float, int],
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.key = (when, *place)

    def __lt__(self, other: asyncio.TimerHandle) -> bool:
        return self.key < other.key if isinstance(other, Timer) else super().__lt__(other)


class NumberedTask(asyncio.Task[T]):
    """A task that hashes by its number, so that sets of tasks (a TaskGroup's children) do not iterate by address."""

    def __init__(self, coro: Coroutine[Any, Any, T], *, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


def shuffle_steps(ready: deque[asyncio.Handle], rng: random.Random) -> deque[asyncio.Handle]:
    """Return the callbacks with the steps of different tasks mixed, where they stand next to each other.

    No step overtakes another callback: code that yields once relies on earlier callbacks having run.
    """
    shuffled: deque[asyncio.Handle] = deque()
    for is_step, group in itertools.groupby(ready, _steps_a_task):
        handles = list(group)
        if is_step:
            rng.shuffle(handles)
        shuffled += handles
    return shuffled


def failed_unseen(task: asyncio.Task[Any]) -> bool:
    """Say whether the task failed and nobody has looked at its exception; asking does not count as looking."""
    return bool(getattr(task, "_log_traceback", False))  # asyncio's own mark, from which it logs a forgotten exception


def _steps_a_task(handle: asyncio.Handle) -> bool:
    return isinstance(getattr(getattr(handle, "_callback", None), "__self__", None), asyncio.Task)
