"""Steps: functions whose result is kept, so that they run once however often the code around them is replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from msgspec import Struct, structs

from onward import host as hosts
from onward.attempt import present
from onward.config import Retry, check_kind, limit_ms
from onward.durations import Duration
from onward.errors import ConfigError, StepInsideStep
from onward.processes.elsewhere import Elsewhere, address_of, check_address
from onward.values.callables import is_async, name_of, place_of, qualified_name
from onward.values.names import check_name
from onward.values.results import Encoder, check_result, result_codec
from onward.values.serde import Decoder

P = ParamSpec("P")
R = TypeVar("R")
Executor = Literal["thread", "process", "loop"]


class StepOptions(Struct, frozen=True, kw_only=True):
    """How a step is named and run. What is None is decided by the function and the callable."""

    id: str = ""
    retry: Retry | None = None
    barrier: bool = False
    executor: Executor | None = None
    timeout: Duration | None = None
    heartbeat: Duration | None = None

    def check(self, owner: str) -> None:
        """Raise `ConfigError` naming `owner` and the option that cannot be."""
        if self.executor not in (None, *get_args(Executor)):
            raise ConfigError(
                f"{owner}, option 'executor': {self.executor!r} is none of 'thread', 'process' and 'loop'.",
                code="E0105",
            )
        check_kind(owner, "retry", self.retry, Retry)
        limit_ms(owner, "timeout", self.timeout)
        limit_ms(owner, "heartbeat", self.heartbeat)


class Recipe(Struct, frozen=True):
    """What all calls of a step have in common."""

    id: str
    name: str
    fn: Callable[..., Any]
    retry: Retry | None
    encode: Encoder
    decode: Decoder
    barrier: bool
    executor: Executor
    timeout_ms: int | None
    heartbeat_ms: int | None

    def call(self, host: hosts.Host, args: Sequence[Any], kwargs: Mapping[str, Any]) -> hosts.StepCall:
        """Return a call in the run `host`."""
        return hosts.StepCall(
            self.id,
            self.name,
            self.fn,
            args,
            kwargs,
            self.retry or host.retry,
            self.encode,
            self.decode,
            self.barrier,
            self.executor,
            host.step_timeout_ms if self.timeout_ms is None else self.timeout_ms,
            self.heartbeat_ms,
        )


class AsyncStep(Generic[P, R]):
    """An `async def` step. Inside a run a call runs or remembers it; elsewhere it is the plain function `fn`."""

    def __init__(self, fn: Callable[P, Coroutine[Any, Any, R]], options: StepOptions) -> None:
        _check(fn, options)
        self.fn: Final = fn
        self.options: Final = options
        self.name: Final[str] = options.id or name_of(fn)
        """The step's name in the journal."""
        self._label: Final = f"step '{self.name}'"

    @cached_property
    def _recipe(self) -> Recipe:
        """Made by the first call, when every name in the annotations exists."""
        return recipe_of(self.fn, self.options)

    def check(self) -> None:
        """Raise `ConfigError` if the result could not be kept."""
        check_result(self.fn, self._label)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step. Raises `StepFailed` when it failed for good."""
        host = current_host(self._label)
        if host is None:
            return await self.fn(*args, **kwargs)
        return cast("R", await host.step(self._recipe.call(host, args, kwargs)))

    def with_options(
        self,
        *,
        id: str | None = None,
        retry: Retry | None = None,
        barrier: bool | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> AsyncStep[P, R]:
        """Return the same step with other options; None keeps one as it is."""
        options = changed(self.options, id=id, retry=retry, barrier=barrier, timeout=timeout, heartbeat=heartbeat)
        return AsyncStep(self.fn, options)


class SyncStep(Generic[P, R]):
    """A `def` step. In a sync function call it, in an async function `await step.aio(...)`; outside a run it is the
    plain `fn`.
    """

    def __init__(self, fn: Callable[P, R], options: StepOptions) -> None:
        _check(fn, options)
        self.fn: Final = fn
        self.options: Final = options
        self.name: Final[str] = options.id or name_of(fn)
        """The step's name in the journal."""
        self._label: Final = f"step '{self.name}'"

    @cached_property
    def _recipe(self) -> Recipe:
        """Made by the first call, when every name in the annotations exists."""
        return recipe_of(self.fn, self.options)

    def check(self) -> None:
        """Raise `ConfigError` if the result could not be kept."""
        check_result(self.fn, self._label)
        if self.options.executor == "process":
            check_address(self.fn, self._label)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step and block until it is done. Raises `StepFailed` when it failed for good."""
        host = current_host(self._label)
        if host is None:
            return self.fn(*args, **kwargs)
        refuse_loop(self._label)
        return cast("R", host.block(lambda: host.step(self._recipe.call(host, args, kwargs))))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step from async code, its body in a thread. Raises `StepFailed` when it failed for good."""
        host = current_host(self._label)
        if host is None:
            return await asyncio.to_thread(self.fn, *args, **kwargs)
        return cast("R", await host.step(self._recipe.call(host, args, kwargs)))

    def with_options(
        self,
        *,
        id: str | None = None,
        retry: Retry | None = None,
        barrier: bool | None = None,
        executor: Executor | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> SyncStep[P, R]:
        """Return the same step with other options; None keeps one as it is."""
        options = changed(
            self.options,
            id=id,
            retry=retry,
            barrier=barrier,
            executor=executor,
            timeout=timeout,
            heartbeat=heartbeat,
        )
        return SyncStep(self.fn, options)


class StepDecorator(Protocol):
    """What `step(...)` with options returns."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # what returns a coroutine is an async step
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncStep[P, R]: ...


@overload
def step(  # type: ignore[overload-overlap]  # as in StepDecorator
    fn: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> SyncStep[P, R]: ...
@overload
def step(
    *,
    id: str = "",
    retry: Retry | None = None,
    barrier: bool = False,
    executor: Executor | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
) -> StepDecorator: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    id: str = "",
    retry: Retry | None = None,
    barrier: bool = False,
    executor: Executor | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
) -> Any:
    """Make a function a step: `@step`, or `@step(retry=Retry(attempts=3))`.

    `id` is the step's name in the journal (default: the function's name). With `barrier` everything before is durable
    before the body starts, and its result before anything else does.

    The body of a `def` step runs in a thread. With `executor="process"` it runs in another process, for work that keeps
    a CPU busy: the function has to stand in a module, and arguments are pickled on their way. With `executor="loop"` it
    runs on the event loop, for functions that return at once.

    An attempt that takes longer than `timeout`, or whose body does not call `current_step().heartbeat()` for as long as
    `heartbeat`, fails with `StepTimeout` and is retried like any other failure.
    """
    chosen = StepOptions(id=id, retry=retry, barrier=barrier, executor=executor, timeout=timeout, heartbeat=heartbeat)
    return _step(chosen) if fn is None else _step(chosen)(fn)


def _step(options: StepOptions) -> Callable[[Callable[..., Any]], Any]:
    def decorate(fn: Callable[..., Any]) -> Any:
        return AsyncStep(fn, options) if is_async(fn) else SyncStep(fn, options)

    return decorate


def changed(options: StepOptions, **changes: Any) -> StepOptions:
    """Return `options` with the changes that are not None."""
    return structs.replace(options, **{name: value for name, value in changes.items() if value is not None})


def current_host(label: str) -> hosts.Host | None:
    """Return the run that the calling code belongs to, None outside of one. Raises `StepInsideStep` naming `label` in a
    step's body.
    """
    if present.get():
        raise StepInsideStep(f"{label} was called {hosts.place()}.")
    return hosts.host.get()


def refuse_loop(label: str) -> None:
    """Raise `ConfigError` if a call that blocks its thread is made on the event loop, which it would stop."""
    if asyncio._get_running_loop() is not None:
        raise ConfigError(f"{label} blocks, and was called on the event loop of an async function.", code="E0109")


def recipe_of(fn: Callable[..., Any], options: StepOptions) -> Recipe:
    """Return what all calls of the step have in common. Raises `ConfigError` if its result could not be kept."""
    name = options.id or name_of(fn)
    label = f"step '{name}'"
    encode, decode = result_codec(fn, label)
    if options.executor == "process":
        check_address(fn, label)
    return Recipe(
        id=name,
        name=qualified_name(fn),
        fn=Elsewhere(fn, label, decode) if options.executor == "process" else fn,
        retry=options.retry,
        encode=encode,
        decode=decode,
        barrier=options.barrier,
        executor=options.executor or ("loop" if is_async(fn) else "thread"),
        timeout_ms=limit_ms(label, "timeout", options.timeout),
        heartbeat_ms=limit_ms(label, "heartbeat", options.heartbeat),
    )


def _check(fn: Callable[..., Any], options: StepOptions) -> None:
    name = options.id or name_of(fn)
    check_name("step", name, place_of(fn))
    check_callable(name, fn)
    options.check(f"step '{name}'")
    if options.executor in ("thread", "process") and is_async(fn):
        what = f"an async step runs on the loop, not in a {options.executor}"
        raise ConfigError(f"step '{name}', option 'executor': {what}.", code="E0105", where=place_of(fn))
    if options.executor == "process":
        address_of(fn, f"step '{name}'")


def check_callable(name: str, fn: object) -> None:
    """Raise `ConfigError` naming the step if it is made of something that cannot be called, such as a coroutine."""
    if not callable(fn):
        raise ConfigError(f"step '{name}': {fn!r} cannot be called.", code="E0126")
