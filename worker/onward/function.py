"""A durable function: the handle that runs are started, invoked and registered by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast, overload

from msgspec import Struct
from onward_protocol import messages

from onward.checkpoint import Checkpoint
from onward.config import Concurrency, Retry
from onward.context import Context
from onward.scene import RunContext, Scene, cause_of
from onward.sync_context import SyncContext
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
    checkpoint: Checkpoint | None = None
    concurrency: Concurrency | None = None
    triggers: tuple[messages.Trigger, ...] = ()


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

    def __repr__(self) -> str:
        return f"Function({self.id!r})"

    @property
    def retry(self) -> Retry:
        """The policy of steps that have none of their own."""
        return self.options.retry

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
        )

    def make_context(self, host: Host, assign: messages.Assign, state: object) -> Context[I] | SyncContext[I]:
        """Return the context for one residence of a run; `fn` is called with it."""
        scene = Scene(host, assign, self.input_type, self.retry, state)
        return SyncContext(scene) if self.is_sync else Context(scene)

    def write_input(self, data: I) -> bytes:
        """Return an input as the engine keeps it. Raises `CodecError`."""
        return encode(data, f"input of function '{self.id}'")

    def encode_output(self, value: object) -> bytes:
        """Return a result as the engine keeps it. Raises `CodecError`."""
        return result_codec(self.fn, self._label)[0](value)

    def read_output(self, output: bytes) -> O_co:
        """Return a stored result with the type that the function returns. Raises `CodecError`."""
        return cast("O_co", result_codec(self.fn, self._label)[1](output))

    def check(self) -> None:
        """Raise `ConfigError` if the input or the result could not be kept."""
        check_type(self.input_type, f"input of {self._label}", place_of(self.fn))
        check_result(self.fn, self._label)

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
    options = FunctionOptions(retry=function.retry, checkpoint=function.options.checkpoint)
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
