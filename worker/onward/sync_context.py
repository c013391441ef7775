"""What a `def` function gets: the calls of `Context`, each blocking the function's own thread until it is done."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from onward import durable, parallel
from onward.callback import SyncCallback
from onward.context import check_function, event_type, invocation, step_of
from onward.durations import Duration
from onward.events import Event, EventType
from onward.scene import E_co, RunContext, StartedRun
from onward.step import StepOptions, changed, recipe_of, refuse_loop
from onward.timeout import SyncTimeout
from onward.values.names import check_name
from onward.values.serde import decoder_for
from onward.values.tags import TagValue, tags_of

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

    def options(
        self,
        *,
        retry: Retry | None = None,
        barrier: bool | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> SyncSteps:
        """Return the same with other options: `ctx.step.options(timeout="30s").run(...)`. None keeps one as it is."""
        chosen = changed(self._options, retry=retry, barrier=barrier, timeout=timeout, heartbeat=heartbeat)
        chosen.check("ctx.step.options")
        return SyncSteps(self._enter, chosen)

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

    def timeout(self, duration: Duration, *, id: str = "") -> SyncTimeout:
        """Limit a block, durably: `with ctx.timeout("2h"):` ends with `TimeoutError` when the time is over.

        Its clock survives restarts of everything. The block's durable calls end with it, also those in `ctx.gather`;
        other code of it goes on until its next durable call. A replay times out at the same place.
        """
        return SyncTimeout(self._enter("ctx.timeout"), *durable.timeout_of(duration, id))

    def patch(self, name: str) -> bool:
        """Tell whether this run takes the new code at a change: `if ctx.patch("new-prices"):`.

        True for runs that come here for the first time, False for those that had gone on from here with the old code;
        the first answer holds for the whole run.
        """
        host = self._enter("ctx.patch")
        check_name("ctx.patch", name)
        return host.block(lambda: host.patch(name))

    def wait_for_signal(self, name: str, type: type[T], *, timeout: Duration | None = None, id: str = "") -> T | None:
        """Wait for a signal of this name to this run and return its value, or None after `timeout` (at most 366 days).

        Signals that came before are kept, in order; each ends one wait.
        """
        host = self._enter("ctx.wait_for_signal")
        read = decoder_for(type, f"value of signal '{name}'")
        wait = durable.signal_wait(name, timeout)
        value = host.block(lambda: durable.wait_for_signal(host, wait, id))
        return None if value is None else read(value)

    def callback(self, type: type[T], *, timeout: Duration | None = None, id: str = "") -> SyncCallback[T]:
        """Open an address that takes one answer: `callback.url` for whoever is to answer, `callback.wait()` for the
        answer. It stands when this returns, for at most `timeout` (366 days).
        """
        host = self._enter("ctx.callback")
        read = decoder_for(type, "answer to a callback")
        url, token, answer = host.block(lambda: durable.callback(host, timeout, id))

        def wait() -> T | None:
            self._enter("callback.wait")
            value = durable.value_of(host.block(answer.wait))
            return None if value is None else read(value)

        return SyncCallback(url, token, wait)

    def start(self, fn: Function[I, Any], data: I, *, id: str = "") -> StartedRun:
        """Start a run of another function, once, and go on: it is on its own, also when this run ends or is cancelled.
        Raises `InvokeFailed` if it cannot be started.
        """
        host = self._enter("ctx.start")
        check_function("ctx.start", fn)
        input = fn.write_input(data)
        return StartedRun(host.block(lambda: durable.start(host, fn.id, input, id, fn.chain)), fn.id)

    def tag(self, **tags: TagValue) -> None:
        """Give the run words by which people find it: `ctx.tag(customer="42")`. At most 32, of 256 bytes each; a key
        has its newest value.
        """
        host = self._enter("ctx.tag")
        kept = tags_of(tags)

        async def tag() -> None:
            host.tag(kept)

        host.block(tag)

    def invoke(self, fn: Function[I, O], data: I, *, timeout: Duration | None = None, id: str = "") -> O:
        """Run another function as a child and return its result. Raises `InvokeFailed` when it failed or `timeout` was
        over.
        """
        host = self._enter("ctx.invoke")
        wait = invocation(fn, data, timeout)
        return fn.read_output(host.block(lambda: durable.invoke(host, wait, id, fn.chain)))

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
