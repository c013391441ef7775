"""Middleware: code of yours around runs, steps and sends, and between values and their bytes.

class Timing(Middleware):
    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        begin = time.monotonic()
        try:
            return await next()
        finally:
            print(step.id, time.monotonic() - begin)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from onward.config import Retry
from onward.events import NO_META, Event

T = TypeVar("T")

Next: TypeAlias = Callable[[], Awaitable[T]]
"""Goes on with what is wrapped: the next middleware, and in the end the code itself. Await it once."""

SendNext: TypeAlias = Callable[[Sequence[Event[Any]]], Awaitable[tuple[str, ...]]]
"""Goes on with these events, and returns their ids. Await it once."""

PayloadKind: TypeAlias = Literal["input", "step", "output", "failure"]


class WorkerInfo(Struct, frozen=True):
    """A worker: the id of its process, and the ids of its functions."""

    instance: str
    functions: tuple[str, ...] = ()


class RunInfo(Struct, frozen=True):
    """One residence of a run: from its arrival in this worker to its end, or until it leaves.

    `replayed` is true if the run brings results along from an earlier residence: its code begins by repeating what it
    did there. `event` is the name of the event that started the run, with its `meta`; both are empty without one.
    `parent` is the run that started this one, or the failed one for a failure handler.
    """

    id: str
    function: str
    app: str
    attempt: int = 1
    replayed: bool = False
    event: str = ""
    meta: Mapping[str, str] = NO_META
    started_at_ms: int = 0
    parent: str = ""


class StepInfo(Struct, frozen=True):
    """One attempt of a step. `key` names this call of the step within its run, on every replay."""

    run: RunInfo
    id: str
    key: str
    attempt: int
    attempts_max: int
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    retry: Retry = Retry()

    def is_last(self, error: BaseException) -> bool:
        """Tell whether no attempt follows this one if it ends with `error`; a `max_time` that is over is not known
        here.
        """
        return self.attempt >= self.attempts_max or not self.retry.covers(error)


class PayloadInfo(Struct, frozen=True):
    """What a payload is: the result of the step `key` of `run`, or the input, output or failure of `function`.

    The input of a run, and what its failure tells a handler, are read by runs that do not know who wrote them: `run` is
    empty then. `origins` are other runs that may have written it instead: a fork has recorded what they did.
    """

    kind: PayloadKind
    function: str
    run: str = ""
    key: str = ""
    origins: tuple[str, ...] = ()


class Middleware:
    """Base of all middleware: override what you need. One object serves any number of runs at the same time.

    The hooks run on the worker's event loop, also for functions and steps that are not asynchronous, and outside of the
    run's own code: they may use asyncio freely, and can make no durable call.
    """

    async def wrap_run(self, run: RunInfo, next: Next[Any]) -> Any:
        """Called once for each residence of a run. What it returns is the run's result, what it raises its failure.

        `next()` raises `Evicted` when the run leaves this worker, and `RunCancelled` when it was cancelled.
        """
        return await next()

    async def wrap_step(self, step: StepInfo, next: Next[Any]) -> Any:
        """Called for each attempt of a step that really executes, never for a remembered one. What it returns is
        recorded; what it raises is a failed attempt.

        `next()` raises `CancelledError` when the result is not wanted any more.
        """
        return await next()

    async def wrap_send(self, events: Sequence[Event[Any]], next: SendNext) -> tuple[str, ...]:
        """Called for events that a run or a client sends, and not when a replay remembers it. Events that are not given
        to `next` are not sent. In a run the events are recorded when all of its middleware has returned.
        """
        return await next(events)

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return what is sent and stored instead of `payload`: both are MessagePack."""
        return payload

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Undo `encode`. A payload from before this middleware was added, or from the API, has to be returned as it
        is.
        """
        return payload

    async def on_worker_start(self, worker: WorkerInfo) -> None:
        """Called before the worker takes its first run; the worker does not start if this raises."""

    async def on_worker_stop(self, worker: WorkerInfo) -> None:
        """Called when no code of any run is left. Not called when the worker dies."""
