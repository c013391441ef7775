"""What asynchronous and blocking contexts have in common: who runs here, why, and the values that a replay repeats."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from onward_protocol import messages

from onward.config import Retry
from onward.errors import ConfigError, PayloadTooLarge, from_failure
from onward.events import Event, moment
from onward.step import current_host
from onward.trigger import type_for
from onward.values.names import check_scope
from onward.values.serde import decoder_for, encode, json_decoder_for

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from onward.host import Host
    from onward.logger import RunLogger

E_co = TypeVar("E_co", covariant=True)

PROGRESS_BYTES_MAX: Final = 4 * 1024
"""People read it on a screen, and it may be sent every second."""


class Scene(Struct, frozen=True):
    """The run that a context stands for: its place in this worker, what it was assigned, and how its function is
    declared. `types` are those of the events' data, by name or prefix.
    """

    host: Host
    assign: messages.Assign
    input_type: Any
    retry: Retry
    state: Any = None
    types: Mapping[str, Any] = {}


class StartedRun(Struct, frozen=True):
    """A run that another one has started and does not wait for."""

    id: str
    function: str


class RunContext(Generic[E_co]):
    """Identity and repeatable values of a run. `Context` and `SyncContext` add the durable calls."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._host: Host = scene.host

    @cached_property
    def events(self) -> tuple[Event[E_co], ...]:
        """The events that started the run: several for a batch, or a debounce that delivers "all". A run that was
        started with an input has a single event, named after the function.
        """
        assign = self._scene.assign
        if assign.events:
            return tuple(self._received(event) for event in assign.events)
        return (Event(assign.function, self._input(), assign.run, assign.started_at_ms),)

    @property
    def event(self) -> Event[E_co]:
        """The (first) event that started the run."""
        return self.events[0]

    @property
    def data(self) -> E_co:
        """The data of `event`: the function's input."""
        return self.events[0].data

    @property
    def run_id(self) -> str:
        """The run's id: the same on every attempt and replay, good as an idempotency key for the outside world."""
        return self._scene.assign.run

    @property
    def parent_id(self) -> str:
        """The id of the run that this one came from: the one that invoked or started it, or whose failure it handles;
        empty if there is none.
        """
        return self._scene.assign.parent

    @property
    def function_id(self) -> str:
        """The id of the function that runs, "app/name"."""
        return self._scene.assign.function

    @property
    def attempt(self) -> int:
        """Which attempt of the run this is: 1, because steps are tried again and runs are not. A body's own attempt is
        `current_step().attempt`.
        """
        return self._scene.assign.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts each step has that does not say so itself."""
        return self._scene.retry.attempts

    @property
    def state(self) -> Any:
        """What the App's lifespan yielded; None without one."""
        return self._scene.state

    @property
    def replaying(self) -> bool:
        """True while the code repeats what happened before this worker took the run."""
        return self._host.replaying

    @property
    def leaving(self) -> bool:
        """True once the run leaves this worker: a `finally` block that sees this belongs to a run that goes on
        elsewhere.
        """
        return self._host.leaving

    @cached_property
    def logger(self) -> RunLogger:
        """A structlog-like logger with the run's identity. Silent while replaying."""
        from onward.logger import RunLogger

        return RunLogger(self._host, {"run": self.run_id, "function": self.function_id, "attempt": self.attempt})

    def progress(self, value: object) -> None:
        """Show people how far the run is, with plain data of at most 4 KiB: `ctx.progress({"done": 3, "of": 10})`.

        The newest value is kept with the run, at most one a second is sent. May be called in the body of a step.
        """
        data = encode(value, "progress")
        if len(data) > PROGRESS_BYTES_MAX:
            raise PayloadTooLarge(f"the progress has {len(data)} bytes; {PROGRESS_BYTES_MAX} are allowed.")
        self._host.show(data)

    def now(self) -> datetime:
        """Return the run's time in UTC: that of the newest thing that happened to it, the same on replay."""
        return moment(self._host.now_ms())

    def random(self) -> float:
        """Return a number in [0, 1), the same on replay."""
        from onward.values import seeded

        host = self._enter("ctx.random")
        return seeded.fraction(host.seed, host.key("random"))

    def uuid(self) -> UUID:
        """Return a UUID of version 4, the same on replay."""
        from onward.values import seeded

        host = self._enter("ctx.uuid")
        return seeded.uuid(host.seed, host.key("random"))

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Enter a scope, for integrations: `with ctx.scope("agent:support"):`.

        Inside, a durable call is told from others by its name, its arguments and its number among equals, whichever
        task makes it; not by its place in the tree of tasks. What is called inside need not make its tasks in the same
        order again.
        """
        host = self._enter("ctx.scope")
        check_scope(name)
        return host.scope(name)

    def _enter(self, call: str) -> Host:
        """Return the host for a durable call. Raises where such a call cannot be kept: in a step's body, or outside of
        this run.
        """
        if current_host(call) is not self._host:
            raise ConfigError(f"{call} was called outside of the run {self.run_id}.", code="E0111")
        return self._host

    def _received(self, event: messages.Event) -> Event[E_co]:
        found = type_for(self._scene.types, event.name)
        kind = self._scene.input_type if found is None else found
        data: Any = json_decoder_for(kind, f"data of event '{event.name}'")(event.data)
        return Event(event.name, data, event.id, event.ts_ms, event.key, event.meta)

    def _input(self) -> Any:
        assign = self._scene.assign
        return decoder_for(self._scene.input_type, f"input of function '{assign.function}'")(assign.input)

    def _plain_data(self) -> Any:
        """The data as JSON or MessagePack says it, without classes: what a match compares."""
        assign = self._scene.assign
        return msgspec.json.decode(assign.events[0].data) if assign.events else msgspec.msgpack.decode(assign.input)


def cause_of(context: RunContext[Any]) -> Exception:
    """Return the error of the failed run that a failure handler was started for."""
    assign = context._scene.assign  # pyright: ignore[reportPrivateUsage] - nothing that users should see on a context
    failure = assign.cause or messages.Failure("Unknown", "the run failed without a reason")
    return from_failure(failure, name=context.parent_id)
