"""What another process sees of this worker while it cannot say anything itself, because its event loop stands still.

Every piece of a step's body that the loop executes is named before it runs. So the name of whatever blocks the loop is
known outside, even if it holds the interpreter.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from types import CodeType, coroutine
from typing import Any, Protocol

from msgspec import Struct

from onward.host import StepCall


class Identity(Struct, frozen=True):
    """Who this worker is to the engine. Whoever knows the `session` can keep the worker's runs from others."""

    instance: str
    session: str
    generation: int
    beat_ms: int


class Watch(Protocol):
    """The one who watches. Nothing here blocks or raises; all but `thread_began` and `thread_ended` is called by the
    event loop's thread.
    """

    def tick(self) -> None:
        """The event loop turns."""
        ...

    def met(self, identity: Identity) -> None:
        """The engine has let the worker in."""
        ...

    def left(self) -> None:
        """The worker has said its last word: nobody needs to speak for it any more."""
        ...

    def runs_now(self, name: bytes) -> None:
        """The loop executes code of this step from now on; empty: of none."""
        ...

    def thread_began(self, name: bytes) -> None:
        """A thread executes this step."""
        ...

    def thread_ended(self, name: bytes) -> None:
        """It does not any more."""
        ...


def watched(watch: Watch, call: StepCall, name: bytes) -> Callable[..., Any]:
    """Return the step's function, so that `watch` knows when its code executes."""

    def in_thread(*args: Any, **kwargs: Any) -> Any:
        watch.thread_began(name)
        try:
            return call.fn(*args, **kwargs)
        finally:
            watch.thread_ended(name)

    def on_loop(*args: Any, **kwargs: Any) -> Any:
        watch.runs_now(name)
        try:
            value = call.fn(*args, **kwargs)
        finally:
            watch.runs_now(b"")
        return _await_named(watch, name, value) if inspect.isawaitable(value) else value

    def as_coroutine(*args: Any, **kwargs: Any) -> Any:
        return _await_named(watch, name, call.fn(*args, **kwargs))  # the call itself executes nothing

    if call.executor != "loop":
        return in_thread
    code: CodeType | None = getattr(call.fn, "__code__", None)
    return as_coroutine if code is not None and code.co_flags & inspect.CO_COROUTINE else on_loop


@coroutine
def _await_named(watch: Watch, name: bytes, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await it. What it hands to the event loop passes through, and so does what comes back."""
    steps: Any = awaitable.__await__()
    send: Callable[[Any], Any] = getattr(steps, "send", None) or partial(_go_on, steps)
    resume, value = send, None
    while True:
        watch.runs_now(name)
        try:
            wanted = resume(value)
        except StopIteration as end:
            return end.value
        finally:
            watch.runs_now(b"")
        try:
            resume, value = send, (yield wanted)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to the step's own code
            resume, value = steps.throw, error


def _go_on(steps: Iterator[Any], _: Any) -> Any:
    """An awaitable of somebody's own may be a plain iterator, which takes nothing."""
    return next(steps)
