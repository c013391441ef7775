"""What a `def` function gets: the calls of `Context`, each blocking the function's own thread until it is done."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from onward import durable, parallel
from onward.context import event_type, invocation, step_of
from onward.durations import Duration
from onward.events import Event, EventType
from onward.scene import E_co, RunContext
from onward.step import StepOptions, changed, recipe_of, refuse_loop

if TYPE_CHECKING:
    from datetime import datetime

    from onward.config import Retry
    from onward.function import Function
    from onward.host import Host

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - input, as in Function[I, O]
O = TypeVar("O")  # noqa: E741 - output
A = TypeVar("A")
R1 = TypeVar("R1")
R2 = TypeVar("R2")
R3 = TypeVar("R3")
R4 = TypeVar("R4")
R5 = TypeVar("R5")


class SyncSteps:
    """Runs any callable as a step: `ctx.step.run("email", send_email, to, subject="hi")`."""

    def __init__(self, enter: Callable[[str], Host], options: StepOptions) -> None:
        self._enter = enter
        self._options = options

    def options(self, *, retry: Retry | None = None, barrier: bool | None = None) -> SyncSteps:
        """Return the same with other options: `ctx.step.options(barrier=True).run(...)`. None keeps one as it is."""
        return SyncSteps(self._enter, changed(self._options, retry=retry, barrier=barrier))

    @overload
    def run(self, id: str, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run(self, id: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def run(self, id: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn(*args, **kwargs)` once under the name `id` and return the decoded copy of its result, the same on
        replay.

        Raises `StepFailed` when it failed for good.
        """
        host = self._enter(f"step '{id}'")
        body, options = step_of(id, fn, self._options)
        return host.block(lambda: host.step(recipe_of(body, options).call(host, args, kwargs)))


class SyncContext(RunContext[E_co]):
    """A run of a `def` function, in a thread of its own. A long wait may give the thread back; the code is then
    replayed up to here.
    """

    @property
    def step(self) -> SyncSteps:
        """Runs callables as steps."""
        return SyncSteps(self._enter, StepOptions())

    def sleep(self, duration: Duration, *, id: str = "") -> None:
        """Sleep durably, at most 366 days."""
        host = self._enter("ctx.sleep")
        host.block(lambda: durable.sleep(host, duration, id))

    def sleep_until(self, when: datetime, *, id: str = "") -> None:
        """Sleep until `when`, which needs an offset; returns at once if that is past."""
        host = self._enter("ctx.sleep_until")
        host.block(lambda: durable.sleep_until(host, when, id))

    @overload
    def wait_for_event(
        self,
        event: EventType[T],
        *,
        match: str = "",
        where: str = "",
        timeout: Duration | None = None,
        lookback: bool = True,
        id: str = "",
    ) -> Event[T] | None: ...
    @overload
    def wait_for_event(
        self,
        event: str,
        *,
        match: str = "",
        where: str = "",
        timeout: Duration | None = None,
        lookback: bool = True,
        id: str = "",
    ) -> Event[Any] | None: ...
    def wait_for_event(
        self,
        event: EventType[Any] | str,
        *,
        match: str = "",
        where: str = "",
        timeout: Duration | None = None,
        lookback: bool = True,
        id: str = "",
    ) -> Event[Any] | None:
        """Wait for an event and return it, or None after `timeout` (at most 366 days).

        `match="customer.id"` asks for the same value there as in this run's own event, `where="async.data.n > 3"` for
        a condition on the awaited event `async` and the run's own `event`. Events since the run's start count too,
        each for one wait after another; with `lookback=False` only those from now on.
        """
        host = self._enter("ctx.wait_for_event")
        awaited = event_type(event)
        data = self._plain_data()
        wait = durable.event_wait(host, awaited.name, match, data, timeout, where=where, lookback=lookback)
        arrived = host.block(lambda: durable.wait_for_event(host, wait, id))
        return None if arrived is None else awaited.received(arrived)

    def invoke(self, fn: Function[I, O], data: I, *, timeout: Duration | None = None, id: str = "") -> O:
        """Run another function as a child and return its result. Raises `InvokeFailed` when it failed or `timeout` was
        over.
        """
        host = self._enter("ctx.invoke")
        wait = invocation(fn, data, timeout)
        return fn.read_output(host.block(lambda: durable.invoke(host, wait, id)))

    def send(self, *events: Event[Any], id: str = "") -> tuple[str, ...]:
        """Send events exactly once and return their ids."""
        host = self._enter("ctx.send")
        return host.block(lambda: durable.send(host, events, id))

    @overload
    def gather(self, call_1: Callable[[], R1], call_2: Callable[[], R2], /) -> tuple[R1, R2]: ...
    @overload
    def gather(
        self, call_1: Callable[[], R1], call_2: Callable[[], R2], call_3: Callable[[], R3], /
    ) -> tuple[R1, R2, R3]: ...
    @overload
    def gather(
        self, call_1: Callable[[], R1], call_2: Callable[[], R2], call_3: Callable[[], R3], call_4: Callable[[], R4], /
    ) -> tuple[R1, R2, R3, R4]: ...
    @overload
    def gather(
        self,
        call_1: Callable[[], R1],
        call_2: Callable[[], R2],
        call_3: Callable[[], R3],
        call_4: Callable[[], R4],
        call_5: Callable[[], R5],
        /,
    ) -> tuple[R1, R2, R3, R4, R5]: ...
    @overload
    def gather(self, *calls: Callable[[], R]) -> tuple[R, ...]: ...
    def gather(self, *calls: Callable[[], Any]) -> tuple[Any, ...]:
        """Run the calls in threads at once and return their results in order.

        After all have ended, the first failure in the order of the arguments is raised: which thread was the first in
        time is not known on a replay.
        """
        refuse_loop("ctx.gather")
        return self._enter("ctx.gather").gather(calls)

    def map(self, fn: Callable[[A], R], items: Iterable[A], *, limit: int | None = None) -> list[R]:
        """Call `fn(item)` in a thread for every item, at most `limit` at once, and return the results in order.

        After all have ended, the first failure in the order of the items is raised.
        """
        refuse_loop("ctx.map")
        parallel.check_limit(limit)
        calls = [partial(fn, item) for item in items]
        return cast("list[R]", list(self._enter("ctx.map").gather(calls, limit)))
