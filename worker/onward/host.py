"""What contexts and steps need of the run that they are in, so that the surface and the machinery below it meet in one
small place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from onward_protocol.messages import Draft, EngineEntry, Wait

    from .config import Retry

T = TypeVar("T")


class StepCall(Struct, frozen=True):
    """One call of a step: what to run, under which name, and how to keep its result.

    `id` is the name in the step's key; `name` the function's qualified name, stored to notice changed code. `encode`
    turns the body's result into bytes and may raise `CodecError`; `decode` gives the copy that user code receives, on
    the first execution too.
    """

    id: str
    name: str
    fn: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    retry: Retry
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    barrier: bool = False
    executor: Literal["loop", "thread"] = "loop"


@dataclass(slots=True)
class Cursors:
    """How far a run has read the engine's order of events, per event name (`start` for names that no wait has consumed
    yet).
    """

    start: int
    by_name: dict[str, int] = field(default_factory=dict[str, int])

    def after(self, name: str) -> int:
        return max(self.start, self.by_name.get(name, 0))

    def consume(self, name: str, ord: int) -> None:
        self.by_name[name] = max(ord, self.after(name))


class Host(Protocol):
    """A run in this worker's memory, seen from user code. Methods that await must be called on the run's event loop, in
    its lineage.
    """

    @property
    def run_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def replaying(self) -> bool:
        """True while entries of an earlier residence are still to be delivered."""
        ...

    @property
    def leaving(self) -> bool:
        """True once the run is sealed: `finally` blocks run because of an eviction, not because the run ended."""
        ...

    @property
    def cursors(self) -> Cursors: ...
    @property
    def retry(self) -> Retry:
        """The function's policy (`Function.retry`), for steps that have none of their own."""
        ...

    @property
    def context(self) -> Any:
        """What `Function.make_context` returned for this run; `onward.current()` hands it out."""
        ...

    async def step(self, call: StepCall) -> Any:
        """Run or remember a step. Raises `StepFailed`, `StepInsideStep`, `NonDeterminism`, or `Evicted`
        (BaseException).
        """
        ...

    async def wait(self, name: str, wait: Wait) -> EngineEntry:
        """Open a durable wait under a key made from `name`; returns the entry that resolved it. Cancelling closes the
        wait.
        """
        ...

    async def send(self, name: str, drafts: Sequence[Draft]) -> tuple[str, ...]:
        """Send events exactly once; returns their ids, which are the same on replay."""
        ...

    def now_ms(self) -> int:
        """Wall clock of the newest entry delivered to this run (its start before the first): the same on replay."""
        ...

    def key(self, name: str) -> str:
        """The next key of `name` in the calling branch, for seeded values."""
        ...

    def block(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """From a sync function's own thread: await `ask()` on the loop in this thread's branch and block until it is
        done.
        """
        ...

    def gather(self, calls: Sequence[Callable[[], Any]], limit: int | None = None) -> tuple[Any, ...]:
        """From a sync function's own thread: run `calls` in threads, each a branch in argument order; raise the first
        failure in that order after all have ended.
        """
        ...


host: ContextVar[Host | None] = ContextVar("onward_host", default=None)
"""The run that the calling code belongs to. Set around the user function; unset (None) elsewhere."""

in_step: ContextVar[bool] = ContextVar("onward_in_step", default=False)
"""True inside a step body, where durable calls raise `StepInsideStep`."""
