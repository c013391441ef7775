"""A durable function: the handle that runs are started, invoked and registered by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, Unpack, cast, overload

from onward_protocol import messages
from onward_protocol.options import option_problem

from onward.checkpoint import Checkpoint
from onward.config import Retry, Timeouts, cancel_rules
from onward.context import Context
from onward.errors import ConfigError
from onward.flow import concurrency_rules
from onward.middleware.chain import Chain
from onward.options import EventOptions, FunctionOptions, check_known
from onward.scene import RunContext, Scene, cause_of
from onward.sync_context import SyncContext
from onward.values.callables import is_async, place_of
from onward.values.expressions import expression_problem
from onward.values.names import check_plain_name
from onward.values.results import check_result, result_codec
from onward.values.serde import check_type, encode

if TYPE_CHECKING:
    from onward.app import App
    from onward.client import RunHandle
    from onward.host import Host

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_co = TypeVar("O_co", covariant=True)

R_co = TypeVar("R_co", covariant=True)

FAILURE_SUFFIX: Final = "!failure"

_CODES: Final = {"value": "E0105", "conflict": "E0128", "no_event": "E0129"}

FailureHandler = (
    Callable[[Context[I], BaseException], Coroutine[Any, Any, object]]
    | Callable[[SyncContext[I], BaseException], object]
)
"""Called once when a run of the function failed for good, with the run's input and the error."""


class Ruled(Protocol[R_co]):
    """An option that the engine is told of."""

    def rule(self, owner: str) -> R_co:
        """Return what it is told."""
        ...


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

    def with_options(self, *, id: str = "", **options: Unpack[EventOptions]) -> Function[I, O_co]:
        """Return the same function with other options; None takes one away, or back to the App's default.

        What starts it and its failure handler stay. It is registered nowhere: a worker or a `TestEngine` can be given
        it, or with another `id` `App.include`.
        """
        check_known("with_options()", options)
        name = id or self.id.rpartition("/")[2]
        check_plain_name(f"function {name!r}", name, place_of(self.fn))
        label = f"function '{self.app.name}/{name}'"
        own = self.options.with_given(label, self.app, options)
        function: Function[I, O_co] = Function(self.app, f"{self.app.name}/{name}", self.fn, self.input_type, own)
        function.manifest()
        if self.failure_handler:
            function.failure_handler = failure_function(function, self.failure_handler.fn)
        return function

    def manifest(self) -> messages.FunctionManifest:
        """Return what the engine is told about the function. Raises `ConfigError` naming it and the option."""
        options = self.options
        manifest = messages.FunctionManifest(
            id=self.id,
            triggers=options.triggers,
            concurrency=concurrency_rules(self._label, options.concurrency),
            on_failure=self.failure_handler.id if self.failure_handler else "",
            sync=self.is_sync,
            cancel_on=cancel_rules(self.id, options.cancel_on),
            start_timeout_ms=self.timeouts.start_ms,
            finish_timeout_ms=self.timeouts.finish_ms,
            labels=dict(options.labels),
            schedules=options.schedules,
            throttle=self._rule("throttle", options.throttle),
            rate_limit=self._rule("rate_limit", options.rate_limit),
            debounce=self._rule("debounce", options.debounce),
            batch=self._rule("batch", options.batch),
            priority=self._rule("priority", options.priority) or "",
            fair=self._rule("fair", options.fair),
            singleton=self._rule("singleton", options.singleton),
            idempotency=self._rule("idempotency", options.idempotency),
        )
        if problem := option_problem(manifest):
            message, code = f"{self._owner(problem.option)}: {problem.what}.", _CODES[problem.kind]
            raise ConfigError(message, code=code, where=place_of(self.fn))
        return manifest

    def make_context(self, host: Host, assign: messages.Assign, state: object) -> Context[I] | SyncContext[I]:
        """Return the context for one residence of a run; `fn` is called with it."""
        scene = Scene(host, assign, self.input_type, self.retry, state, self.options.types)
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
        for trigger in self.options.triggers:
            if trigger.where and (problem := expression_problem(trigger.where)):
                raise ConfigError(f"{self._owner('when')}: the expression {problem}.", code="E0127")

    @property
    def _label(self) -> str:
        return f"function '{self.id}'"

    def _rule(self, option: str, value: Ruled[R_co] | None) -> R_co | None:
        return None if value is None else value.rule(self._owner(option))

    def _owner(self, option: str) -> str:
        return f"{self._label}, option '{option}'"


class FunctionDecorator(Protocol[I]):
    """What `App.on` and `App.function` return: takes `async def f(ctx: Context[I])` or `def f(ctx: SyncContext[I])`."""

    @overload
    def __call__(self, fn: Callable[[Context[I]], Coroutine[Any, Any, O]], /) -> Function[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[SyncContext[I]], O], /) -> Function[I, O]: ...


def failure_function(function: Function[I, Any], fn: Callable[..., Any]) -> Function[I, object]:
    """Return the function that is called, with its context alone, when a run of `function` has failed."""
    options = FunctionOptions(
        retry=function.retry,
        timeouts=Timeouts(step=function.timeouts.step),
        checkpoint=function.options.checkpoint,
        labels=function.options.labels,
        middleware=function.options.middleware,
        types=function.options.types,
    )
    return Function(function.app, function.id + FAILURE_SUFFIX, fn, function.input_type, options)


def with_cause(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls a failure handler with its context and the error of the run that failed."""
    if is_async(handler):

        @wraps(handler)
        async def handle(ctx: RunContext[Any]) -> object:
            return await handler(ctx, cause_of(ctx))

        return handle

    @wraps(handler)
    def handle_blocking(ctx: RunContext[Any]) -> object:
        return handler(ctx, cause_of(ctx))

    return handle_blocking
