"""An event loop whose clock jumps to the next timer instead of waiting, in one thread and in one order.

Real asyncio code runs on it unchanged. Its order is FIFO and repeats exactly: timers of the same moment fire in the
order in which they were set, sets of tasks do not iterate by address, task names count from one in every loop. With
`shuffle` the loop varies what asyncio does not promise: the order of timers of the same moment, and which of several
tasks that are ready goes first. Callbacks given to `call_soon` keep their order, because asyncio does promise it.

Threads do not exist here. `run_in_executor` runs the function in the loop's own thread, so a function that waits for
the loop (`run_coroutine_threadsafe(...).result()`) hangs; a thread that calls `call_soon_threadsafe` gets an error.
"""

import asyncio
import contextvars
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from tests.support.order import NumberedTask, Timer, failed_unseen, shuffle_steps
from tests.support.system import SystemLoop
from tests.support.waiting import describe

Ts = TypeVarTuple("Ts")

START_S = 1_000.0  # not zero: a moment must never look like "no moment"
PASSES_MAX = 5_000_000  # about a minute of real time; a simulation that needs more is running in a circle
TASKS_KEPT_MIN = 64


class Deadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled, so the tasks it lists would wait for ever."""


class Endless(RuntimeError):
    """The loop went round more often than allowed: something polls for ever, or spins without time going on."""


class JumpingSelector:
    """Stands where the loop waits for sockets: nothing ever arrives from outside, so waiting is moving the clock."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        self._jump = jump

    def select(self, timeout: float | None) -> list[object]:
        """Move the clock; no events."""
        self._jump(timeout)
        return []


class VirtualLoop(SystemLoop):
    """An asyncio event loop with virtual time: hours in milliseconds, a deadlock is an error at once."""

    if TYPE_CHECKING:  # asyncio's own, which the stubs leave out
        _ready: deque[asyncio.Handle]
        _scheduled: list[asyncio.TimerHandle]
        _task_factory: object

        def _check_closed(self) -> None: ...

    def __init__(self, rng: random.Random, *, shuffle: bool = False, passes_max: int = PASSES_MAX) -> None:
        super().__init__()
        self.failures: list[BaseException] = []
        self._selector = JumpingSelector(self._turn)
        self._rng = rng
        self._shuffle = shuffle
        self._passes_left = passes_max
        self._timers = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_kept = TASKS_KEPT_MIN
        self._tasks_made = 0
        self._set_time(START_S)
        self.set_exception_handler(_note_failure)

    # Time

    def time(self) -> float:
        """Return the virtual time in seconds; it moves only when nothing is ready."""
        return self.now_s

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs, as a blocking call or a stopped process would."""
        self._set_time(self.now_s + seconds)

    def happen_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context
    ) -> asyncio.TimerHandle:
        """Call back at `when` on behalf of the world outside: hooks set over `call_at` or `call_soon` do not see it."""
        return self._push(Timer(self._next_place(), when, callback, args, self, context))

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule as asyncio does; of several timers of one moment the first set fires first (or any, shuffled)."""
        self._check_closed()
        return self._push(Timer(self._next_place(), when, callback, args, self, context))

    def _push(self, timer: Timer) -> Timer:
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # the loop counts timers cancelled while they are scheduled
        return timer

    def _next_place(self) -> tuple[float, int]:
        self._timers += 1
        return (self._rng.random() if self._shuffle else 0.0, self._timers)

    def _set_time(self, now_s: float) -> None:
        self.now_s = now_s  # what `time` returns unless somebody sets a hook over it
        # The loop fires what is due before now + resolution. One unit in the last place means exactly "due by now":
        # more would fire a timer early, and code that re-arms until its deadline would spin without time going on.
        self._clock_resolution = math.ulp(now_s)

    def _turn(self, timeout: float | None) -> None:
        self._passes_left -= 1
        if self._passes_left < 0:
            raise Endless(describe("the simulation does not end", self.unfinished()))
        if timeout is None:
            raise Deadlock(describe("nothing is ready and nothing is scheduled", self.unfinished()))
        if timeout > 0:
            self._set_time(self._scheduled[0].when())
        elif self._shuffle and len(self._ready) > 1:
            shuffled = shuffle_steps(self._ready, self._rng)
            self._ready.clear()
            self._ready.extend(shuffled)

    # Tasks

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        """Make a task as asyncio does, named by its number in this loop; a task factory is honoured."""
        self._check_closed()
        self._tasks_made += 1
        name = f"task-{self._tasks_made}" if name is None else str(name)
        if self._task_factory is None:
            options |= {"loop": self, "name": name, "context": context}
            task: asyncio.Task[Any] = NumberedTask(coro, number=self._tasks_made, **options)
        else:
            task = super().create_task(coro, name=name, context=context, **options)
        self._keep(task)
        return task

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that have not ended, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def unretrieved(self) -> list[BaseException]:
        """Return the exceptions of ended tasks that nobody has looked at; looking here counts."""
        return [error for task in self._tasks if failed_unseen(task) and (error := task.exception())]

    def _keep(self, task: asyncio.Task[Any]) -> None:
        # Strong references: what becomes of a task must not depend on when the collector runs.
        if len(self._tasks) >= self._tasks_kept:
            self._tasks = [task for task in self._tasks if not task.done() or failed_unseen(task)]
            self._tasks_kept = max(TASKS_KEPT_MIN, 2 * len(self._tasks))
        self._tasks.append(task)


def _note_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, VirtualLoop)
    error = context.get("exception")
    if isinstance(error, asyncio.CancelledError):
        return  # asyncio's streams ask a cancelled task for its exception in 3.11, and stumble over the answer
    loop.failures.append(error if isinstance(error, BaseException) else RuntimeError(context.get("message")))
