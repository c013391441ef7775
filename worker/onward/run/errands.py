"""What middleware does for a run beside its code: until it is done, the run does not go on from there."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from onward import host as hosts
from onward.attempt import StepAttempt, present
from onward.config import Retry
from onward.errors import OnwardError
from onward.replay.lineage import BRANCH
from onward.replay.turn import Later
from onward.run.retry import decide

T = TypeVar("T")

log: Final = logging.getLogger("onward.run")


class Owner(Protocol):
    """The run, seen from its errands."""

    @property
    def retry(self) -> Retry:
        """How often an errand is tried that fails."""
        ...

    def fail(self, error: BaseException) -> None:
        """An errand has failed for good: the run cannot go on."""
        ...


class Errands:
    """The errands of one residence. All methods are called on the loop, outside of any run's lineage."""

    __slots__ = ("_base", "_later", "_loop", "_made", "_owner", "_resting", "_settle", "_tasks")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        *,
        owner: Owner,
        later: Later,
        settle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._base = context
        self._made: Context | None = None  # most runs have no middleware
        self._owner = owner
        self._later = later
        self._settle = settle
        self._tasks: set[asyncio.Task[Any]] = set()
        self._resting = 0

    def start(
        self, work: Callable[[], Coroutine[Any, Any, T]], then: Callable[[T], None], context: Context | None = None
    ) -> None:
        """Await `work()`, again if it fails, as the run's policy says; then call `then` with what it has returned."""
        task = self._loop.create_task(self._tried(work), context=context or self.context())
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, then), context=self._context)

    def context(self) -> Context:
        """Return a new context for middleware that does not belong to any place in the code."""
        return self._context.copy()

    @property
    def _context(self) -> Context:
        if self._made is None:
            self._made = self._base.copy()
            self._made.run(enter_middleware)
        return self._made

    def close(self) -> None:
        """Give all of them up."""
        for task in self._tasks:
            task.cancel()
        self._tasks = set()

    @property
    def are_busy(self) -> bool:
        """True while there are any."""
        return bool(self._tasks)

    @property
    def are_working(self) -> bool:
        """True if one of them does not only wait until it is tried again."""
        return len(self._tasks) > self._resting

    @property
    def are_resting(self) -> bool:
        """True if there are some, and each of them only waits until it is tried again."""
        return 0 < len(self._tasks) == self._resting

    async def _tried(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await work()
            except (asyncio.CancelledError, KeyboardInterrupt):
                raise
            except SystemExit as error:  # asyncio would end the worker
                raise OnwardError("middleware called sys.exit().", code="E0315") from error
            except Exception as error:
                delay_ms = decide(self._owner.retry, attempt, error, random.random())  # noqa: S311 - jitter
                if delay_ms is None:
                    raise
                log.warning("middleware failed; next in %.1f s: %s", delay_ms / 1000, error, exc_info=attempt == 1)
            await self._rest(delay_ms)

    async def _rest(self, delay_ms: int) -> None:
        rested: asyncio.Future[None] = self._loop.create_future()
        alarm = self._later(delay_ms / 1000, self._end_rest, rested)
        self._resting += 1
        try:
            await rested
        finally:
            alarm.cancel()

    def _end_rest(self, rested: asyncio.Future[None]) -> None:
        if not rested.done():
            self._resting -= 1  # and not in its task, which has its turn later
            rested.set_result(None)

    def _ended(self, then: Callable[[T], None], task: asyncio.Task[T]) -> None:
        if task not in self._tasks:  # given up
            if not task.cancelled():
                task.exception()
            return
        self._tasks.discard(task)
        error = (
            OnwardError("middleware was cancelled by itself.", code="E0317") if task.cancelled() else task.exception()
        )
        if error is None:
            self._go_on(then, task.result())
        else:
            self._owner.fail(error)

    def _go_on(self, then: Callable[[T], None], result: T) -> None:
        try:
            then(result)
            self._settle()
        except Exception as error:  # noqa: BLE001 - without an outcome the run would hang for ever
            self._owner.fail(error)


def enter_middleware() -> None:
    """Middleware belongs to no branch, as the body of a step."""
    BRANCH.set(None)
    hosts.host.set(None)
    present.set(StepAttempt)
    hosts.in_middleware.set(True)
