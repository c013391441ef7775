"""Hooks on an event loop, so that it knows which callbacks, tasks and timers belong to a run.

They work on asyncio and uvloop alike.

Futures and tasks written in C come through `call_soon` too. Code that belongs to no run passes through unchanged.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from onward.errors import ConfigError
from onward.replay.lineage import BRANCH, branch_of_new_task
from onward.replay.turn import RunTimer

_EAGER: Final = getattr(asyncio, "eager_task_factory", None)

# The hooks know their loop: a reference to them from here would keep it, and all that ever ran on it, for ever.
_installed: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, ref[Callable[..., Any]]]]] = (
    WeakKeyDictionary()
)


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Hook `loop`, once. Raises `ConfigError` if somebody has replaced a hook since."""
    if loop not in _installed:
        hooks = _hooks(loop)
        for name, hook in hooks.items():
            setattr(loop, name, hook)
        _installed[loop] = {name: ref(hook) for name, hook in hooks.items()}
    check(loop)


def check(loop: asyncio.AbstractEventLoop) -> None:
    """Raise `ConfigError` if a hook of `loop` was replaced: runs on it could not be replayed."""
    replaced = [name for name, hook in _installed[loop].items() if getattr(loop, name) is not hook()]
    if replaced:
        raise ConfigError(
            f"somebody has replaced {', '.join(replaced)} of the event loop after Onward had hooked it; "
            "do that before the worker starts.",
            code="E0313",
        )


def _hooks(loop: asyncio.AbstractEventLoop) -> dict[str, Callable[..., Any]]:
    return {"call_soon": _call_soon(loop), "create_task": _create_task(loop), **_timer_hooks(loop)}


def _call_soon(loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    soon = loop.call_soon
    branch_here = BRANCH.get

    def call_soon(callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        branch = branch_here() if context is None else context.get(BRANCH)
        if branch is None:
            return soon(callback, *args, context=context)
        turn = branch.turn
        handle = soon(turn.fire, callback, args, context=context)
        turn.ready.append(handle)
        return handle

    return call_soon


def _timer_hooks(loop: asyncio.AbstractEventLoop) -> dict[str, Callable[..., Any]]:
    later, at, real_time = loop.call_later, loop.call_at, loop.time
    branch_here = BRANCH.get

    def time() -> float:
        branch = branch_here()
        return real_time() if branch is None else branch.turn.clock

    def call_later(delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        branch = branch_here() if context is None else context.get(BRANCH)
        if branch is None:
            return later(delay, callback, *args, context=context)
        return _set_timer(branch.turn.clock + delay, callback, args, context)

    def call_at(when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        branch = branch_here() if context is None else context.get(BRANCH)
        if branch is None:
            return at(when, callback, *args, context=context)
        return _set_timer(when, callback, args, context)

    return {"call_later": call_later, "call_at": call_at, "time": time}


def _set_timer(
    when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
) -> RunTimer:
    context = context or copy_context()
    branch = context[BRANCH]
    assert branch is not None
    timer = RunTimer(branch.turn, branch.key("timer"), when, callback, args, context)
    branch.turn.outside.run(branch.turn.owner.timer_set, timer)
    return timer


def _create_task(loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    create = loop.create_task
    branch_here = BRANCH.get

    def create_task(coro: Any, *, context: Context | None = None, **options: Any) -> Any:
        parent = branch_here() if context is None else context.get(BRANCH)
        if parent is None:
            return create(coro, **options) if context is None else create(coro, context=context, **options)
        try:
            branch = branch_of_new_task(parent, sys._getframe(1))  # pyright: ignore[reportPrivateUsage] - who calls decides
        except BaseException:
            coro.close()
            raise
        if context is not None:
            options["context"] = context
        return parent.turn.spawn(coro, branch, options, eager=_is_eager(loop))

    return create_task


def _is_eager(loop: asyncio.AbstractEventLoop) -> bool:
    return _EAGER is not None and loop.get_task_factory() is _EAGER
