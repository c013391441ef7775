"""The middleware of one function, outermost first, put together hook by hook."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from onward.errors import CodecError, ConfigError, OnwardError
from onward.events import Event
from onward.middleware.base import Middleware, Next, PayloadInfo, PayloadKind, RunInfo, SendNext, StepInfo

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - information

HOOKS: Final = ("wrap_run", "wrap_step", "wrap_send", "encode", "decode", "on_worker_start", "on_worker_stop")


class Chain:
    """What the middleware of `function` does. Outermost is what is nearest to the engine: it encodes last, and decodes
    first.
    """

    def __init__(self, function: str, middleware: Sequence[Middleware]) -> None:
        self.function: Final = function
        self.runs: Final = [one.wrap_run for one in middleware if overrides(one, "wrap_run")]
        self.steps: Final = [one.wrap_step for one in middleware if overrides(one, "wrap_step")]
        self.sends: Final = [one.wrap_send for one in middleware if overrides(one, "wrap_send")]
        self.codecs: Final = [one for one in middleware if overrides(one, "encode") or overrides(one, "decode")]

    async def wrap_run(self, run: RunInfo, code: Next[Any]) -> Any:
        """Run `code` inside all hooks."""
        return await _nested(self.runs, run, code)

    async def wrap_step(self, step: StepInfo, body: Next[Any]) -> Any:
        """Run `body` inside all hooks."""
        return await _nested(self.steps, step, body)

    async def wrap_send(self, events: Sequence[Event[Any]], send: SendNext) -> tuple[str, ...]:
        """Send inside all hooks."""
        for hook in reversed(self.sends):
            send = partial(_send_through, hook, Once(hook, send))
        return await send(events)

    def about(self, kind: PayloadKind, run: str = "", key: str = "", origins: tuple[str, ...] = ()) -> PayloadInfo:
        """Return what the hooks are told about a payload."""
        return PayloadInfo(kind, self.function, run, key, origins)

    async def encode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return what is kept for `payload`."""
        for one in reversed(self.codecs):
            payload = _checked(await one.encode(payload, info), one.encode)
        return payload

    async def decode(self, payload: bytes, info: PayloadInfo) -> bytes:
        """Return what was encoded as `payload`."""
        for one in self.codecs:
            payload = _checked(await one.decode(payload, info), one.decode)
        return payload


class Once:
    """The `next` of one hook: a second call would run a step, or a whole run, twice."""

    __slots__ = ("_call", "_hook", "_is_spent")

    def __init__(self, hook: Callable[..., Any], call: Callable[..., Awaitable[Any]]) -> None:
        self._hook = hook
        self._call = call
        self._is_spent = False

    def __call__(self, *args: Any) -> Awaitable[Any]:
        """Go on."""
        if self._is_spent:
            raise OnwardError(f"{self._hook.__qualname__} called next() twice.", code="E0314")
        self._is_spent = True
        return self._call(*args)


def checked_middleware(owner: str, middleware: Iterable[Middleware]) -> tuple[Middleware, ...]:
    """Return the middleware, or raise a `ConfigError` that names `owner` and what is wrong."""
    where = f"{owner}, option 'middleware'"
    if isinstance(middleware, Middleware):
        raise ConfigError(f"{where}: it takes a list.", code="E0120")
    chosen = tuple(middleware)
    for one in chosen:
        _check(where, one)
    return chosen


def _check(where: str, one: object) -> None:
    if isinstance(one, type) and issubclass(one, Middleware):
        raise ConfigError(f"{where}: {one.__name__} is a class; write {one.__name__}().", code="E0120")
    if not isinstance(one, Middleware):
        raise ConfigError(f"{where}: {one!r} is not Middleware.", code="E0120")
    for name in HOOKS:
        if not inspect.iscoroutinefunction(getattr(one, name)):
            raise ConfigError(f"{where}: {type(one).__name__}.{name} is not `async def`.", code="E0120")


def overrides(one: Middleware, hook: str) -> bool:
    """Tell whether the middleware does anything in this hook."""
    return getattr(type(one), hook) is not getattr(Middleware, hook)


async def _nested(hooks: Sequence[Callable[[I, Next[T]], Awaitable[T]]], info: I, code: Next[T]) -> T:
    for hook in reversed(hooks):
        code = partial(hook, info, Once(hook, code))
    return await code()


def _send_through(
    hook: Callable[..., Awaitable[tuple[str, ...]]], next: SendNext, events: Sequence[Event[Any]]
) -> Awaitable[tuple[str, ...]]:
    return hook(tuple(events), next)


def _checked(payload: object, hook: Callable[..., Any]) -> bytes:
    if not isinstance(payload, bytes):
        raise CodecError(f"{hook.__qualname__} returned {type(payload).__name__}, not bytes.")
    return payload
