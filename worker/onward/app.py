"""The registry of durable functions and their common settings: what a worker loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast

from onward_protocol import messages

from onward.checkpoint import Checkpoint, CheckpointOption, checkpoint_of
from onward.config import Retry, Timeouts, check_kind
from onward.cron import CatchUp, Cron, Overlap, Tick
from onward.durations import Duration
from onward.errors import ConfigError
from onward.function import FailureHandler, Function, FunctionDecorator, failure_function, with_cause
from onward.middleware.base import Middleware
from onward.middleware.chain import checked_middleware
from onward.options import EventOptions, FunctionOptions, Options, check_known
from onward.reach import named_in
from onward.settings import Settings
from onward.trigger import Trigger, schedules_of, triggers_of, types_of
from onward.values.callables import check_takes, name_of, place_of
from onward.values.names import check_plain_name, check_text

if TYPE_CHECKING:
    from onward.client import Client

I = TypeVar("I")  # noqa: E741 - input

Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]


class App:
    """Registers durable functions. `worker run app:functions` loads it.

    `retry`, `timeouts` and `checkpoint` are the defaults of its functions; a worker may be started with another
    `checkpoint` (see `Worker`). `lifespan(app)` is entered once in every worker; what it yields is `ctx.state`. `url`
    and `token` are for the App's own client; without them the environment decides. `middleware` is around all of its
    functions, the first outermost, and around what its client sends.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        token: str | None = None,
        checkpoint: CheckpointOption | None = None,
        retry: Retry | None = None,
        timeouts: Timeouts | None = None,
        version: str = "",
        middleware: Sequence[Middleware] = (),
        lifespan: Lifespan | None = None,
    ) -> None:
        check_plain_name("App", name)
        check_text(f"App '{name}', option 'version'", version)
        self.name: Final = name
        self.version: Final = version
        self.checkpoint: Final = checkpoint_of(f"App '{name}', option 'checkpoint'", checkpoint) or Checkpoint.SAFE
        check_kind(f"App '{name}'", "retry", retry, Retry)
        check_kind(f"App '{name}'", "timeouts", timeouts, Timeouts)
        self.retry: Final = retry or Retry()
        self.timeouts: Final = timeouts or Timeouts()
        self.middleware: Final = checked_middleware(f"App '{name}'", middleware)
        self.lifespan: Final = lifespan
        self._url = url
        self._token = token
        self._functions: dict[str, Function[Any, Any]] = {}

    def __repr__(self) -> str:
        return f"App({self.name!r}, {len(self._functions)} functions)"

    @property
    def functions(self) -> Mapping[str, Function[Any, Any]]:
        """The functions by id, included ones and failure handlers too."""
        return MappingProxyType(self._functions)

    @cached_property
    def settings(self) -> Settings:
        """Where the engine is and how to prove who we are."""
        return Settings.read(url=self._url, token=self._token)

    @cached_property
    def client(self) -> Client:
        """A client with the App's settings. Its connections belong to the event loop that uses it first."""
        from onward.client import Client

        return Client(settings=self.settings, middleware=self.middleware)

    def on(
        self,
        trigger: Trigger[I],
        *,
        id: str = "",
        when: str = "",
        on_failure: FailureHandler[I] | None = None,
        **options: Unpack[EventOptions],
    ) -> FunctionDecorator[I]:
        """Make a function start for every such event, or for those `when` is true of: `when="event.data.total > 100"`.
        Its id is "app/name", the name being `id` or the function's own. `Placed | Imported.when("...")` stands for
        either event, `Placed | Cron("@daily")` for events and ticks.

        `on_failure(ctx, error)` is called once, as a run of its own, when a run failed for good; `ctx.parent_id` is
        that run. `cancel_on` names up to five events that cancel runs. With `labels` only workers that have all of
        them get its runs. Without a `checkpoint` of its own the function has that of its worker, or else of its App.
        `middleware` comes inside the App's.

        Which events start a run say `idempotency`, `singleton` and `rate_limit`; `debounce` and `batch` make one run of
        several; `priority` or `fair` say which run is next, `concurrency` and `throttle` when it may start.
        """
        self._check_trigger(trigger, when)
        check_known("on()", options)
        sources = trigger.sources
        defaults = FunctionOptions(
            retry=self.retry,
            timeouts=self.timeouts,
            triggers=triggers_of(sources, when),
            schedules=schedules_of(sources),
            types=types_of(sources),
        )
        return self._decorator(trigger.data_type, id, defaults, options, on_failure)

    def cron(
        self,
        expression: str,
        *,
        id: str = "",
        tz: str = "",
        jitter: Duration = 0,
        overlap: Overlap = "allow",
        catch_up: CatchUp = "last",
        on_failure: FailureHandler[Tick] | None = None,
        **options: Unpack[Options],
    ) -> FunctionDecorator[Tick]:
        """Make a function start by the clock: `@app.cron("0 3 * * *", tz="Europe/Berlin")`. The schedule's options are
        those of `Cron`, the others as in `on`, but for those that are about many events.
        """
        schedule = Cron(expression, tz=tz, jitter=jitter, overlap=overlap, catch_up=catch_up)
        return self.on(schedule, id=id, on_failure=on_failure, **options)

    def function(
        self,
        input: type[I],
        *,
        id: str = "",
        on_failure: FailureHandler[I] | None = None,
        **options: Unpack[Options],
    ) -> FunctionDecorator[I]:
        """Make a function that only `ctx.invoke`, clients and the API start, with an input of this type. Options as in
        `on`, but for those that are about many events.
        """
        check_known("function()", options)
        return self._decorator(
            input, id, FunctionOptions(retry=self.retry, timeouts=self.timeouts), options, on_failure
        )

    def include(self, other: App | ModuleType | Function[Any, Any]) -> None:
        """Add the functions of another App, or of everything in a module, or one function; they keep their ids and
        their own options.
        """
        for function in functions_in(other).values():
            if function.app.lifespan not in (None, self.lifespan):
                raise ConfigError(
                    f"App '{self.name}' includes App '{function.app.name}', which has a lifespan.", code="E0110"
                )
            if self._functions.get(function.id) is not function:
                self._add(function)

    def check(self) -> None:
        """Check without a network that every value can be kept: inputs, results, and the steps and events that
        functions name.

        Raises `ConfigError` with all that is wrong.
        """
        problems = list(_problems(self._functions.values()))
        if len(problems) == 1:
            raise problems[0]
        if problems:
            lines = "\n".join(f"- {problem}" for problem in problems)
            raise ConfigError(f"App '{self.name}' has {len(problems)} problems:\n{lines}\n", code="E0113")

    def _check_trigger(self, trigger: object, when: str) -> None:
        if not isinstance(trigger, Trigger):
            raise ConfigError(f"App '{self.name}': on() takes an EventType, not {trigger!r}.", code="E0117")
        if when and not triggers_of(trigger.sources, ""):
            raise ConfigError(f"App '{self.name}': a schedule has no event for option 'when'.", code="E0105")

    def _decorator(
        self,
        input_type: Any,
        id: str,
        defaults: FunctionOptions,
        given: Mapping[str, Any],
        on_failure: FailureHandler[I] | None,
    ) -> FunctionDecorator[I]:
        def decorate(fn: Callable[..., Any]) -> Function[I, Any]:
            name = id or name_of(fn)
            check_plain_name(f"function {name!r}", name, place_of(fn))
            label = f"function '{self.name}/{name}'"
            check_takes(label, fn, "ctx")
            for trigger in defaults.triggers:
                check_text(f"{label}, option 'when'", trigger.where)
            options = defaults.with_given(label, self, given)
            function: Function[I, Any] = Function(self, f"{self.name}/{name}", fn, input_type, options)
            function.manifest()  # finds what is wrong with it here, and not when a worker registers
            self._add(function)
            if on_failure:
                check_takes(f"{label}, option 'on_failure'", on_failure, "ctx", "error")
                function.failure_handler = failure_function(function, with_cause(on_failure))
                self._add(function.failure_handler)
            return function

        return cast("FunctionDecorator[I]", decorate)

    def _add(self, function: Function[Any, Any]) -> None:
        if known := self._functions.get(function.id):
            places = f"{place_of(known.fn)} and {place_of(function.fn)}"
            raise ConfigError(
                f"two functions have the id '{function.id}': {places}.", code="E0101", where=place_of(function.fn)
            )
        self._functions[function.id] = function


def functions_in(target: object) -> dict[str, Function[Any, Any]]:
    """Return the functions of an App, a Function, a module, or several of these, by id. Raises `ConfigError` for
    anything else.
    """
    match target:
        case App():
            return dict(target.functions)
        case Function():
            return _with_handler(target)  # pyright: ignore[reportUnknownArgumentType] - of any input and output
        case ModuleType():
            members: list[object] = [value for value in vars(target).values() if isinstance(value, App | Function)]
            return _merged(members)
        case list() | tuple():
            return _merged(cast("Iterable[object]", target))
        case _:
            raise ConfigError(f"{target!r} is not something that a worker can load.", code="E0108")


def manifests(functions: Iterable[Function[Any, Any]]) -> tuple[messages.AppManifest, ...]:
    """Return what the engine is told about the functions, grouped by their Apps."""
    by_app: dict[str, list[Function[Any, Any]]] = {}
    for function in functions:
        by_app.setdefault(function.app.name, []).append(function)
    return tuple(
        messages.AppManifest(name, members[0].app.version, tuple(member.manifest() for member in members))
        for name, members in by_app.items()
    )


def _with_handler(function: Function[Any, Any]) -> dict[str, Function[Any, Any]]:
    handler = function.failure_handler
    return {function.id: function} | ({handler.id: handler} if handler else {})


def _merged(targets: Iterable[object]) -> dict[str, Function[Any, Any]]:
    found: dict[str, Function[Any, Any]] = {}
    for target in targets:
        for function in functions_in(target).values():
            if found.setdefault(function.id, function) is not function:
                raise ConfigError(
                    f"two functions have the id '{function.id}'.", code="E0101", where=place_of(function.fn)
                )
    return found


def _problems(functions: Iterable[Function[Any, Any]]) -> Iterable[ConfigError]:
    parts = [part for function in functions for part in (function, *named_in(function.fn))]
    for part in {id(part): part for part in parts}.values():
        try:
            part.check()
        except ConfigError as problem:
            yield problem
