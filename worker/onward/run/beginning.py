"""The first attempt of a step that begins where the code asks for it, and mostly is over there too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from onward_protocol.messages import StepDone

from onward.attempt import StepAttempt, present
from onward.replay import outset
from onward.replay.identity import Identity
from onward.replay.lineage import BRANCH

if TYPE_CHECKING:
    from onward.host import StepCall
    from onward.run.course import Course

Ended = tuple[Any, BaseException | None]
"""What a body has returned, or raised."""


class Telling:
    """Tells a body of its first attempt, if it asks. It knows nothing that knows it: most steps need no more."""

    __slots__ = ("_call", "_key", "_run", "told")

    def __init__(self, run: str, key: str, call: StepCall) -> None:
        self.told: StepAttempt | None = None
        self._run = run
        self._key = key
        self._call = call

    def __call__(self) -> StepAttempt:
        """Return the attempt; always the same one."""
        if self.told is None:
            self.told = StepAttempt(self._call.id, self._key, self._run, 1, self._call.retry.attempts)
        return self.told


class Beginning:
    """A body that runs since it was asked for, at first within the turn of the task that has asked, its `caller`. It is
    made in the caller's context.
    """

    __slots__ = ("_call", "_context", "_identity", "_key", "_task", "_telling", "began_ms", "caller")

    def __init__(self, key: str, call: StepCall, identity: Identity, caller: asyncio.Task[Any]) -> None:
        self.caller: asyncio.Task[Any] = caller
        self.began_ms: int = 0
        self._key = key
        self._call = call
        self._identity = identity
        self._context = copy_context()
        self._telling: Telling | None = None
        self._task: asyncio.Task[Ended] | None = None

    def begin(self, course: Course) -> StepDone | None:
        """Execute the body up to its first wait. Returns the step's result if the body has succeeded by then; `Step` is
        to judge everything else.
        """
        self.began_ms = course.wall_ms()
        self._telling = Telling(course.outbox.window.run, self._key, self._call)
        self._context.run(_enter, self._telling)
        body = _ended(course.body_of(self._key, self._call), self._call)
        self._task = outset.begin(body, course.loop, self._context, self.caller)
        return self._result(course, self._task) if self._task.done() else None

    @property
    def has_begun(self) -> bool:
        """True if the body is under way, or has ended."""
        return self._task is not None

    def _result(self, course: Course, task: asyncio.Task[Ended]) -> StepDone | None:
        call, identity = self._call, self._identity
        value, error = task.result()
        if error is not None:
            return None
        try:
            output = call.encode(value)
        except Exception:  # noqa: BLE001 - `Step` does it again, and says what is wrong
            return None
        if len(output) > course.output_bytes_max:
            return None
        ended_ms = course.wall_ms()
        took_ms = ended_ms - self.began_ms
        return StepDone(self._key, output, call.name, identity.site, identity.args, 1, took_ms, ended_ms)

    async def value(self) -> Any:
        """Return what the body returns, or raise what it raises."""
        assert self._task is not None, "it has begun"
        value, error = await self._task
        if error is not None:
            raise error
        return value

    @property
    def told(self) -> StepAttempt | None:
        """What the body was told of its attempt, if it has asked."""
        return None if self._telling is None else self._telling.told


def _enter(telling: Telling) -> None:
    BRANCH.set(None)
    present.set(telling)


async def _ended(body: Callable[..., Any], call: StepCall) -> Ended:
    """Execute a body. Its errors are results here: a task would let some of them end the event loop."""
    try:
        value = body(*call.args, **call.kwargs)
        return (await value if isawaitable(value) else value), None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a body raises is its attempt's failure
        return None, error
