"""What an `async def` function gets: the event that started it, and the durable calls it may make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from onward_protocol import messages

from onward import durable, parallel
from onward.callback import Callback
from onward.config import option_ms
from onward.durations import Duration
from onward.errors import ConfigError
from onward.events import Event, EventType, check_exact
from onward.parallel import F, Winner
from onward.patch import Patch
from onward.scene import E_co, RunContext, StartedRun
from onward.step import AsyncStep, StepOptions, SyncStep, changed, check_callable, recipe_of
from onward.timeout import DurableTimeout
from onward.values.callables import is_async, name_of
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
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - input, as in Function[I, O]
O = TypeVar("O")  # noqa: E741 - output
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)


class Awaited(Protocol[A_contra, R_co]):
    """A sync step that takes one item."""

    async def aio(self, item: A_contra, /) -> R_co:
        """Run the step from async code."""
        ...


class Steps:
    """Runs any callable as a step: `await ctx.step.run("email", send_email, to, subject="hi")`."""

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
    ) -> Steps:
        """Return the same with other options: `ctx.step.options(timeout="30s").run(...)`. None keeps one as it is."""
        chosen = changed(self._options, retry=retry, barrier=barrier, timeout=timeout, heartbeat=heartbeat)
        chosen.check("ctx.step.options")
        return Steps(self._enter, chosen)

    @overload
    async def run(
        self, id: str, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    async def run(self, id: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def run(self, id: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn(*args, **kwargs)` once under the name `id` and return the decoded copy of its result, the same on
        replay.

        A plain function runs in a thread. Raises `StepFailed` when it failed for good.
        """
        host = self._enter(f"step '{id}'")
        body, options = step_of(id, fn, self._options)
        return await host.step(recipe_of(body, options).call(host, args, kwargs))


class Context(RunContext[E_co]):
    """A run of an `async def` function. Durable calls are awaited, one after another or in tasks of their own."""

    @property
    def step(self) -> Steps:
        """Runs callables as steps."""
        return Steps(self._enter, StepOptions())

    async def sleep(self, duration: Duration, *, id: str = "") -> None:
        """Sleep durably, at most 366 days. The run takes no slot meanwhile and survives restarts of everything."""
        await durable.sleep(self._enter("ctx.sleep"), duration, id)

    async def sleep_until(self, when: datetime, *, id: str = "") -> None:
        """Sleep until `when`, which needs an offset; returns at once if that is past."""
        await durable.sleep_until(self._enter("ctx.sleep_until"), when, id)

    @overload
    async def wait_for_event(
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
    async def wait_for_event(
        self,
        event: str,
        *,
        match: str = "",
        where: str = "",
        timeout: Duration | None = None,
        lookback: bool = True,
        id: str = "",
    ) -> Event[Any] | None: ...
    async def wait_for_event(
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
        arrived = await durable.wait_for_event(host, wait, id)
        return None if arrived is None else awaited.received(arrived)

    def timeout(self, duration: Duration, *, id: str = "") -> DurableTimeout:
        """Limit a block, durably: `async with ctx.timeout("2h"):` ends with `TimeoutError` when the time is over.

        Its clock survives restarts of everything, and the run may sleep and wait inside without a slot. Steps and waits
        inside are cancelled as by `asyncio.timeout`; a replay times out at the same place.
        """
        return DurableTimeout(self._enter("ctx.timeout"), *durable.timeout_of(duration, id))

    def patch(self, name: str) -> Patch:
        """Tell whether this run takes the new code at a change: `if await ctx.patch("new-prices"):`.

        True for runs that come here for the first time, False for those that had gone on from here with the old code;
        the first answer holds for the whole run.
        """
        host = self._enter("ctx.patch")
        check_name("ctx.patch", name)
        return Patch(name, host.patch(name))

    async def wait_for_signal(
        self, name: str, type: type[T], *, timeout: Duration | None = None, id: str = ""
    ) -> T | None:
        """Wait for a signal of this name to this run and return its value, or None after `timeout` (at most 366 days).

        Signals that came before are kept, in order; each ends one wait.
        """
        host = self._enter("ctx.wait_for_signal")
        read = decoder_for(type, f"value of signal '{name}'")
        value = await durable.wait_for_signal(host, durable.signal_wait(name, timeout), id)
        return None if value is None else read(value)

    async def callback(self, type: type[T], *, timeout: Duration | None = None, id: str = "") -> Callback[T]:
        """Open an address that takes one answer: `callback.url` for whoever is to answer, `await callback` for the
        answer. It stands when this returns, for at most `timeout` (366 days).
        """
        host = self._enter("ctx.callback")
        read = decoder_for(type, "answer to a callback")
        url, token, answer = await durable.callback(host, timeout, id)

        async def wait() -> T | None:
            self._enter("callback")
            value = durable.value_of(await answer.wait())
            return None if value is None else read(value)

        return Callback(url, token, wait)

    async def start(self, fn: Function[I, Any], data: I, *, id: str = "") -> StartedRun:
        """Start a run of another function, once, and go on: it is on its own, also when this run ends or is cancelled.
        Raises `InvokeFailed` if it cannot be started.
        """
        host = self._enter("ctx.start")
        check_function("ctx.start", fn)
        return StartedRun(await durable.start(host, fn.id, fn.write_input(data), id, fn.chain), fn.id)

    def tag(self, **tags: TagValue) -> None:
        """Give the run words by which people find it: `ctx.tag(customer="42")`. At most 32, of 256 bytes each; a key
        has its newest value.
        """
        self._enter("ctx.tag").tag(tags_of(tags))

    async def invoke(self, fn: Function[I, O], data: I, *, timeout: Duration | None = None, id: str = "") -> O:
        """Run another function as a child and return its result. Raises `InvokeFailed` when it failed or `timeout` was
        over.
        """
        host = self._enter("ctx.invoke")
        wait = invocation(fn, data, timeout)
        return fn.read_output(await durable.invoke(host, wait, id, fn.chain))

    async def send(self, *events: Event[Any], id: str = "") -> tuple[str, ...]:
        """Send events exactly once and return their ids."""
        return await durable.send(self._enter("ctx.send"), events, id)

    async def race(self, /, **aws: Awaitable[T]) -> Winner[T]:
        """Await all at once and return what ends first, by its name: `race(paid=..., late=ctx.sleep("1h"))`.

        The others are cancelled and have ended then; what their clean-up raises is reported by asyncio, not raised. If
        the first one fails, its error is raised. A replay has the same winner.
        """
        self._enter("ctx.race")
        return await parallel.race(aws)

    @overload
    def as_completed(self, aws: Iterable[F], /) -> AsyncIterator[F]: ...
    @overload
    def as_completed(self, aws: Iterable[Awaitable[T]], /) -> AsyncIterator[asyncio.Future[T]]: ...
    def as_completed(self, aws: Iterable[Awaitable[Any]], /) -> AsyncIterator[asyncio.Future[Any]]:
        """Await all at once and yield each when it has ended: `async for done in ctx.as_completed(...): done.result()`.

        A task that you made comes back itself. Failures are raised by `result()`; after a `break` the rest goes on. A
        replay has the same order.
        """
        self._enter("ctx.as_completed")
        return parallel.as_completed(aws)

    @overload
    async def map(
        self, fn: Callable[[A], Coroutine[Any, Any, R]], items: Iterable[A], *, limit: int | None = None
    ) -> list[R]: ...
    @overload
    async def map(self, fn: Awaited[A, R], items: Iterable[A], *, limit: int | None = None) -> list[R]: ...
    async def map(self, fn: Any, items: Iterable[Any], *, limit: int | None = None) -> list[Any]:
        """Await `fn(item)` for every item, at most `limit` at once, and return the results in order.

        `fn` is a step or any async function. The first failure cancels the rest and is raised.
        """
        self._enter("ctx.map")
        parallel.check_limit(limit)
        return await parallel.run_each(_awaitable(fn), items, limit)


def step_of(id: str, fn: Callable[..., Any], options: StepOptions) -> tuple[Callable[..., Any], StepOptions]:
    """Return the body and the options of `fn` run as the step `id`: what the call says goes before what a declared step
    says.
    """
    check_name("step", id)
    if isinstance(fn, AsyncStep | SyncStep):
        declared: StepOptions = fn.options
        chosen = {name: getattr(options, name) for name in ("retry", "timeout", "heartbeat")}
        return fn.fn, changed(declared, id=id, barrier=options.barrier or None, **chosen)
    check_callable(id, fn)
    return fn, changed(options, id=id)


def check_function(call: str, fn: object) -> None:
    """Raise `ConfigError` if `fn` is not a function of an App, but its name or what was decorated."""
    if not hasattr(fn, "write_input"):
        raise ConfigError(f"{call}: {fn!r} is no function of an App.", code="E0124")


def invocation(fn: Function[Any, Any], data: Any, timeout: Duration | None) -> messages.Invoke:
    """Return what the engine is asked for when `fn` is invoked with `data`."""
    check_function("ctx.invoke", fn)
    timeout_ms = None if timeout is None else option_ms(f"ctx.invoke('{fn.id}')", "timeout", timeout)
    return messages.Invoke(fn.id, fn.write_input(data), timeout_ms)


def event_type(event: EventType[Any] | str) -> EventType[Any]:
    """Return the event type; a bare name has data of any type."""
    check_exact("ctx.wait_for_event", event if isinstance(event, str) else event.name)
    return event if isinstance(event, EventType) else EventType(event, cast("type[Any]", Any))


def _awaitable(fn: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """Return what is called in a task for each item of a map."""
    if isinstance(fn, SyncStep):
        return cast("SyncStep[[Any], Any]", fn).aio
    if isinstance(fn, AsyncStep) or is_async(fn):
        return cast("Callable[[Any], Coroutine[Any, Any, Any]]", fn)

    async def call(item: Any) -> Any:  # a lambda, or anything else that makes a coroutine when it is called
        made = fn(item)
        if not isawaitable(made):
            raise ConfigError(f"ctx.map: {name_of(fn)} is neither a step nor an async function.", code="E0109")
        return await made

    return call
