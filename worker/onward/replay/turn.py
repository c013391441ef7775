"""The callbacks, tasks and timers of one run on the event loop: who belongs to it, and when it is quiet.

A run is quiet when no callback of it is left in the loop. That is counted, never guessed: chains of TaskGroups and
`finally` blocks have no fixed length, so no number of loop iterations would be enough.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Final, Protocol, TypeAlias

from onward.replay.lineage import BRANCH, Branch

_TAKES_EAGER_START: Final = sys.version_info >= (3, 12)


class Cancellable(Protocol):
    """A handle of asyncio, uvloop or another loop."""

    def cancel(self) -> None: ...


Later: TypeAlias = Callable[..., Cancellable]
"""As `loop.call_later`."""


class Pending(Cancellable, Protocol):
    """A callback that waits in the loop."""

    def cancelled(self) -> bool: ...


class Owner(Protocol):
    """The run, seen from its callbacks and timers. Only `timer_cancelled` is called inside the run's lineage."""

    def settle(self) -> None:
        """The run's last callback has run."""
        ...

    def timer_set(self, timer: RunTimer) -> None:
        """The code sets a timer. Its clock starts with `begin`."""
        ...

    def timer_began(self, timer: RunTimer) -> None: ...
    def later(self, delay_s: float, callback: Callable[..., object], /, *args: Any) -> Cancellable: ...
    def timer_rang(self, timer: RunTimer) -> None: ...
    def timer_cancelled(self, timer: RunTimer) -> None: ...


class Nobody:
    """In place of a run that has left: what its code has left behind goes on by itself."""

    def settle(self) -> None:
        """See `Owner`."""

    def timer_set(self, timer: RunTimer) -> None:
        """See `Owner`."""
        timer.begin()

    def timer_began(self, timer: RunTimer) -> None:
        """See `Owner`."""

    def later(self, delay_s: float, callback: Callable[..., object], /, *args: Any) -> Cancellable:
        """See `Owner`."""
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)

    def timer_rang(self, timer: RunTimer) -> None:
        """See `Owner`."""
        timer.deliver()

    def timer_cancelled(self, timer: RunTimer) -> None:
        """See `Owner`."""


class Turn:
    """One run on its loop. `context` belongs to no run."""

    __slots__ = ("_number", "_seed", "clock", "loop", "outside", "owner", "ready", "tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop, run: str, context: Context, owner: Owner) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.owner: Owner = owner
        self.clock: float = loop.time()
        self.ready: deque[Pending] = deque()
        self.tasks: set[RunTask] = set()
        self.outside: Context = context.copy()
        self._number = 0
        self._seed = zlib.crc32(run.encode()) << 24

    def fire(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Run a callback of this run. The loop keeps their order: the first one that is not cancelled is this one."""
        ready = self.ready
        while ready[0].cancelled():
            ready.popleft()
        ready.popleft()
        try:
            callback(*args)
        finally:
            while ready and ready[0].cancelled():
                ready.popleft()
            if not ready:
                self.outside.run(self.owner.settle)

    @property
    def is_quiet(self) -> bool:
        """True if no callback of this run is left in the loop."""
        ready = self.ready
        while ready and ready[0].cancelled():
            ready.popleft()
        return not ready

    def start(self, coro: Coroutine[Any, Any, Any], context: Context) -> RunTask:
        """Make a task of this run in `context`, which has its branch. It starts with the next iteration of the loop."""
        return self._keep(RunTask(coro, self, context=context))

    def spawn(self, coro: Coroutine[Any, Any, Any], branch: Branch, options: dict[str, Any], *, eager: bool) -> RunTask:
        """Make a task of this run for user code, in a copy of the caller's (or the given) context with `branch` set."""
        given: Context | None = options.pop("context", None)
        context = copy_context() if given is None else given.copy()
        context.run(BRANCH.set, branch)
        if eager and _TAKES_EAGER_START:
            options.setdefault("eager_start", True)
        return self._keep(RunTask(coro, self, context=context, **options))

    def number(self) -> int:
        """Return the next number of a task: the same on each replay, and unlike those of other runs."""
        self._number += 1
        return self._seed + self._number

    def _keep(self, task: RunTask) -> RunTask:
        """Hold the task until it is done; asyncio holds tasks only weakly."""
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard, context=self.outside)
        return task


class RunTask(asyncio.Task[Any]):
    """A task of a run, hashed by its number: the sets inside TaskGroup and `asyncio.wait` iterate alike everywhere."""

    __slots__ = ("_order", "context")

    def __init__(self, coro: Coroutine[Any, Any, Any], turn: Turn, *, context: Context, **options: Any) -> None:
        self._order = turn.number()
        self.context: Context = context
        super().__init__(coro, loop=turn.loop, context=context, **options)

    def __hash__(self) -> int:
        return self._order


class RunTimer:
    """What `call_later` and `call_at` return inside a run: a timer that fires at its place in the run's log."""

    __slots__ = ("_args", "_callback", "_context", "_delay", "_handle", "_is_cancelled", "_turn", "deadline", "key")

    def __init__(
        self,
        turn: Turn,
        key: str,
        deadline: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self.key: str = key
        self.deadline: float = deadline
        self._turn = turn
        self._delay = max(0.0, deadline - turn.clock)
        self._callback = callback
        self._args = args
        self._context = context
        self._handle: Cancellable | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """As `asyncio.TimerHandle`."""
        if self._is_cancelled:
            return
        self._is_cancelled = True
        if self._handle is not None:
            self._handle.cancel()
        self._turn.owner.timer_cancelled(self)

    def cancelled(self) -> bool:
        """As `asyncio.TimerHandle`."""
        return self._is_cancelled

    def when(self) -> float:
        """As `asyncio.TimerHandle`."""
        return self.deadline

    @property
    def is_wanted(self) -> bool:
        """False once the code has cancelled it."""
        return not self._is_cancelled

    def begin(self) -> None:
        """Start its clock."""
        self._handle = self._turn.owner.later(self._delay, self._turn.owner.timer_rang, self)
        self._turn.owner.timer_began(self)

    def deliver(self, entry: object = None) -> None:
        """Call back in the run. Its clock jumps to the deadline, or libraries that look at it would wait anew."""
        if self._is_cancelled:
            return
        turn = self._turn
        turn.clock = max(turn.clock, self.deadline)
        self._handle = turn.loop.call_soon(self._callback, *self._args, context=self._context)
