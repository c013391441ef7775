"""A durable function: the handle that runs are started, invoked and registered by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast, overload

from msgspec import Struct
from onward_protocol import messages

from onward.checkpoint import Checkpoint
from onward.config import CancelOption, Concurrency, Retry, Timeouts, cancel_rules
from onward.context import Context
from onward.middleware.base import Middleware
from onward.middleware.chain import Chain
from onward.scene import RunContext, Scene, cause_of
from onward.sync_context import SyncContext
from onward.trigger import type_for
from onward.values.callables import is_async, place_of
from onward.values.results import check_result, result_codec
from onward.values.serde import check_type, encode

if TYPE_CHECKING:
    from onward.app import App
    from onward.client import RunHandle
    from onward.host import Host

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_co = TypeVar("O_co", covariant=True)

FAILURE_SUFFIX: Final = "!failure"

FailureHandler = (
    Callable[[Context[I], BaseException], Coroutine[Any, Any, object]]
    | Callable[[SyncContext[I], BaseException], object]
)
"""Called once when a run of the function failed for good, with the run's input and the error."""


class FunctionOptions(Struct, frozen=True, kw_only=True):
    """How a function is declared, with the App's defaults filled in.

    `checkpoint` is the function's own: what it leaves open is for the worker to decide, and only then for its App.
    """

    retry: Retry
    timeouts: Timeouts = Timeouts()
    checkpoint: Checkpoint | None = None
    concurrency: Concurrency | None = None
    triggers: tuple[messages.Trigger, ...] = ()
    schedules: tuple[messages.Schedule, ...] = ()
    types: Mapping[str, Any] = {}
    cancel_on: CancelOption | None = None
    labels: Mapping[str, str] = {}
    middleware: Sequence[Middleware] = ()


class Function(Generic[I, O_co]):
    """A durable function. Made by `App.on` and `App.function`; `fn` is the original."""

    def __init__(self, app: App, id: str, fn: Callable[..., Any], input_type: Any, options: FunctionOptions) -> None:
        self.app: Final = app
        self.id: Final = id
        self.fn: Final = fn
        self.is_sync: Final = not is_async(fn)
        self.input_type: Final = input_type
        self.options: Final = options
        self.failure_handler: Function[I, object] | None = None
        self.middleware: Final = (*app.middleware, *options.middleware)
        """The App's and then its own, outermost first."""
        self.chain: Final = Chain(id.removesuffix(FAILURE_SUFFIX), self.middleware) if self.middleware else None

    def __repr__(self) -> str:
        return f"Function({self.id!r})"

    @property
    def retry(self) -> Retry:
        """The policy of steps that have none of their own."""
        return self.options.retry

    @property
    def timeouts(self) -> Timeouts:
        """The function's own, and its App's where it says nothing."""
        return self.options.timeouts

    @property
    def checkpoint(self) -> Checkpoint:
        """When finished steps are made durable, unless the worker is started with another setting for what the function
        leaves open.
        """
        return self.checkpoint_in(None)

    def checkpoint_in(self, worker: Checkpoint | None) -> Checkpoint:
        """Return when finished steps are made durable in a worker that was started with this setting, or with none."""
        return self.options.checkpoint or worker or self.app.checkpoint

    async def start(self, data: I, *, key: str = "") -> RunHandle[O_co]:
        """Start a run and return its handle. The same `key` again returns the first run instead of starting another."""
        return await self.app.client.start(self, data, key=key)

    async def run(self, data: I) -> O_co:
        """Start a run and return its result. Raises `RunFailed`, or the SDK's own error that the run ended with."""
        return await self.app.client.run(self, data)

    def manifest(self) -> messages.FunctionManifest:
        """Return what the engine is told about the function."""
        concurrency = self.options.concurrency
        return messages.FunctionManifest(
            id=self.id,
            triggers=self.options.triggers,
            concurrency=(messages.ConcurrencyLimit(concurrency.limit, concurrency.key),) if concurrency else (),
            on_failure=self.failure_handler.id if self.failure_handler else "",
            sync=self.is_sync,
            cancel_on=cancel_rules(self.id, self.options.cancel_on),
            start_timeout_ms=self.timeouts.start_ms,
            finish_timeout_ms=self.timeouts.finish_ms,
            labels=dict(self.options.labels),
            schedules=self.options.schedules,
        )

    def make_context(self, host: Host, assign: messages.Assign, state: object) -> Context[I] | SyncContext[I]:
        """Return the context for one residence of a run; `fn` is called with it."""
        scene = Scene(host, assign, self._data_type(assign), self.retry, state)
        return SyncContext(scene) if self.is_sync else Context(scene)

    def write_input(self, data: I) -> bytes:
        """Return an input as the engine keeps it. Raises `CodecError`, and `ConfigError` if the function is started by
        several events whose data cannot be told apart.
        """
        if len(self.options.types) > 1:
            check_type(self.input_type, f"input of {self._label}", place_of(self.fn))
        return encode(data, f"input of function '{self.id}'")

    def encode_output(self, value: object) -> bytes:
        """Return a result as the engine keeps it. Raises `CodecError`."""
        return result_codec(self.fn, self._label)[0](value)

    def read_output(self, output: bytes) -> O_co:
        """Return a stored result with the type that the function returns. Raises `CodecError`."""
        return cast("O_co", result_codec(self.fn, self._label)[1](output))

    def check(self) -> None:
        """Raise `ConfigError` if the input, or what starts it, or the result could not be kept."""
        if len(self.options.types) <= 1:
            check_type(self.input_type, f"input of {self._label}", place_of(self.fn))
        else:  # which of them it is, the event's name says
            for event, type in self.options.types.items():
                check_type(type, f"data of event '{event}' in {self._label}", place_of(self.fn))
        check_result(self.fn, self._label)

    def _data_type(self, assign: messages.Assign) -> Any:
        """Return the type of what started this run."""
        found = type_for(self.options.types, assign.events[0].name) if assign.events else None
        return self.input_type if found is None else found

    @property
    def _label(self) -> str:
        return f"function '{self.id}'"


class FunctionDecorator(Protocol[I]):
    """What `App.on` and `App.function` return: takes `async def f(ctx: Context[I])` or `def f(ctx: SyncContext[I])`."""

    @overload
    def __call__(self, fn: Callable[[Context[I]], Coroutine[Any, Any, O]], /) -> Function[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[SyncContext[I]], O], /) -> Function[I, O]: ...


def failure_function(function: Function[I, Any], handler: FailureHandler[I]) -> Function[I, object]:
    """Return the function that runs `handler` when a run of `function` has failed."""
    options = FunctionOptions(
        retry=function.retry,
        timeouts=Timeouts(step=function.timeouts.step),
        checkpoint=function.options.checkpoint,
        labels=function.options.labels,
        middleware=function.options.middleware,
        types=function.options.types,
    )
    return Function(function.app, function.id + FAILURE_SUFFIX, _with_cause(handler), function.input_type, options)


def _with_cause(handler: Callable[..., Any]) -> Callable[..., Any]:
    if is_async(handler):

        @wraps(handler)
        async def handle(ctx: RunContext[Any]) -> object:
            return await handler(ctx, cause_of(ctx))

        return handle

    @wraps(handler)
    def handle_blocking(ctx: RunContext[Any]) -> object:
        return handler(ctx, cause_of(ctx))

    return handle_blocking
