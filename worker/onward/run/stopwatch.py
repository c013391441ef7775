"""The time of one attempt of a step: how long it may take, and how long it may give no sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, Self

from onward.errors import StepTimeout
from onward.host import StepCall


class Stopwatch:
    """Around a body, in its task: cancels it when its time is over, and raises `StepTimeout` at its end, whatever it
    made of that.

    Bodies work in real time, also under the clock of a test. It counts from where the body begins: one for a thread may
    have to wait for its place first. A thread cannot be stopped: it runs on, and what it returns is nobody's any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: StepCall) -> None:
        self._loop = loop
        self._call = call
        self._task: asyncio.Task[Any] | None = None
        self._began: float | None = None
        self._beat = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._problem = ""

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._look_again(self._shortest_ms / 1000)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._problem and self._task is not None:
            self._task.uncancel()  # or a TaskGroup of the next attempt would believe that it was cancelled from outside
            raise StepTimeout(self._problem) from error

    def starts(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return `fn`, which starts the time when it is called; from any thread."""

        @wraps(fn, updated=())
        def body(*args: Any, **kwargs: Any) -> Any:
            self.begin()
            return fn(*args, **kwargs)

        return body

    def begin(self) -> None:
        """The body begins; from any thread."""
        self._beat = self._began = self._loop.time()

    def beat(self) -> None:
        """The body gives a sign of life; from any thread."""
        self._beat = self._loop.time()

    @property
    def _shortest_ms(self) -> int:
        return min(ms for ms in (self._call.timeout_ms, self._call.heartbeat_ms) if ms is not None)

    def _look(self) -> None:
        """Nothing is set anew by a sign of life, because it may come a million times a second, from any thread."""
        if self._began is None:
            self._look_again(self._shortest_ms / 1000)
            return
        now, call, ends = self._loop.time(), self._call, list[float]()
        if call.timeout_ms is not None:
            ends.append(self._began + call.timeout_ms / 1000)
            if ends[-1] <= now:
                self._end(f"did not end within {_text(call.timeout_ms)}")
                return
        if call.heartbeat_ms is not None:
            ends.append(self._beat + call.heartbeat_ms / 1000)
            if ends[-1] <= now:
                self._end(f"gave no heartbeat for {_text(call.heartbeat_ms)}")
                return
        self._look_again(min(ends) - now)

    def _look_again(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._look)

    def _end(self, problem: str) -> None:
        thread = "; its thread runs on" if self._call.executor == "thread" else ""
        self._problem = f"step '{self._call.id}' {problem}{thread}."
        if self._task is not None:
            self._task.cancel()


def _text(ms: int) -> str:
    return f"{ms / 1000:g} s"
