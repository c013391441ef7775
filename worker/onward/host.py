"""What contexts and steps need of the run that they are in, so that the surface and the machinery below it meet in one
small place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from msgspec import Struct

from onward.attempt import current_step

if TYPE_CHECKING:
    from onward_protocol.messages import Draft, EngineEntry, Sleep, Wait

    from .config import Retry
    from .events import Event
    from .middleware.chain import Chain

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
    executor: Literal["loop", "thread", "process"] = "loop"
    timeout_ms: int | None = None
    heartbeat_ms: int | None = None


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


class Answer(Protocol):
    """What will be posted to a callback."""

    async def wait(self) -> object:
        """Return the entry. Cancelling leaves the callback open."""
        ...


class Alarm(Protocol):
    """A moment that stands in the engine."""

    def give_up(self) -> None:
        """Close it: it does not ring any more."""
        ...


class Host(Protocol):
    """A run in this worker's memory, seen from user code. Methods that await must be called on the run's event loop, in
    its lineage.
    """

    @property
    def run_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seed(self) -> str:
        """The run whose values that look random are due now: that of a fork's origin, as long as it repeats it."""
        ...

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
    def step_timeout_ms(self) -> int | None:
        """How long an attempt may take, for steps that do not say so themselves."""
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

    async def wait(self, name: str, wait: Wait, chain: Chain | None = None) -> EngineEntry:
        """Open a durable wait under a key made from `name`; returns the entry that resolved it. Cancelling closes the
        wait. `chain` is the middleware of a function that is invoked.
        """
        ...

    async def send(self, name: str, drafts: Sequence[Draft], events: Sequence[Event[Any]] = ()) -> tuple[str, ...]:
        """Send events exactly once; returns their ids, which are the same on replay. `events` are what the drafts were
        made of, for middleware.
        """
        ...

    async def start(self, name: str, function: str, input: bytes, chain: Chain | None = None) -> EngineEntry:
        """Start a child run that goes its own way; returns the engine's word: its id, or why there is none."""
        ...

    async def callback(self, name: str, token: str, timeout_ms: int | None) -> tuple[EngineEntry, Answer]:
        """Open a callback. Returns when it stands: the engine's word with its token and address, which a replay has
        too, and what is posted there.
        """
        ...

    def alarm(self, name: str, wait: Sleep, ring: Callable[[], None]) -> Alarm:
        """Call `ring` in this run when `wait` is over, at that moment's place in the log. Call it on the run's loop."""
        ...

    def limit(self, name: str, wait: Sleep, error: BaseException) -> Callable[[], None]:
        """From a sync function's own thread: raise `error` in its present or next durable call, and in those of its
        gathers, when `wait` is over. Returns what ends that.
        """
        ...

    async def patch(self, name: str) -> bool:
        """Tell whether the run takes the new code at the change `name`: the same at every place and on every replay."""
        ...

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Anchor the keys of what is called inside at this place, instead of at the task that calls it."""
        ...

    def tag(self, tags: Mapping[str, str]) -> None:
        """Keep words by which the run is found; sent once. Call it on the run's loop."""
        ...

    def show(self, value: bytes) -> None:
        """Show people how far the run is. May be called from any thread, and from a step's body."""
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
"""The run that the calling code belongs to, if it is not the body of a step; None outside of runs."""

in_middleware: ContextVar[bool] = ContextVar("onward_in_middleware", default=False)
"""True in middleware that is not around a step."""


def place() -> str:
    """Return where the calling code is, for the message of `StepInsideStep`."""
    if in_middleware.get():
        return "in middleware"
    return f"inside the body of step '{current_step().id}'"
