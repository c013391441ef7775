"""Tests of one function in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from onward.events import Event
from onward.function import Function
from onward.testing.engine import TestEngine
from onward.testing.runs import TestRun

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
T = TypeVar("T")

HORIZON = "400d"
"""Longer than the longest sleep."""


class ReplayUnsafe(AssertionError):
    """A function does something else when it is replayed; the message says what."""


def run(
    fn: Function[I, O], data: I, *, steps: Mapping[str, Any] | None = None, events: Sequence[Event[Any]] = ()
) -> TestRun[O]:
    """Run a function to its end, time included, and return the run. For tests that are not asynchronous themselves.

    `steps` replaces the bodies of steps by their id, with a callable or a result. `events` are sent one after another,
    whenever the run waits; after them time passes until nothing is left to happen.
    """
    return _in_a_loop(_run(fn, data, steps=steps, events=events))


def assert_replay_safe(fn: Function[I, O], data: I, *, events: Sequence[Event[Any]] = ()) -> TestRun[O]:
    """Run a function twice, once with a crash after everything that becomes durable, and compare.

    Raises `ReplayUnsafe` if a step's body ran more than once, or if results, steps or sent events differ. Returns the
    run with the crashes.
    """
    return _in_a_loop(_compare(fn, data, events))


async def _run(
    fn: Function[I, O],
    data: I,
    *,
    steps: Mapping[str, Any] | None = None,
    events: Sequence[Event[Any]] = (),
    crash_everywhere: bool = False,
    now: datetime | None = None,
) -> TestRun[O]:
    async with TestEngine(fn.app, steps=steps, crash_everywhere=crash_everywhere, now=now) as engine:
        started = await engine.start(fn, data)
        for event in events:
            await engine.send(event)
        await engine.advance(HORIZON)
        return started


async def _compare(fn: Function[I, O], data: I, events: Sequence[Event[Any]]) -> TestRun[O]:
    now = datetime.now(UTC)  # the same for both, and with it the same ids
    calm = await _run(fn, data, events=events, now=now)
    crashed = await _run(fn, data, events=events, now=now, crash_everywhere=True)
    repeated = [key for key, count in crashed.executions.items() if count > 1]
    if repeated:
        raise ReplayUnsafe(f"{fn.id}: ran again after a crash: {', '.join(repeated)}")
    for what in ("status", "steps"):
        before, after = getattr(calm, what), getattr(crashed, what)
        if before != after:
            raise ReplayUnsafe(f"{fn.id}: its {what} without a crash: {before}; with crashes: {after}")
    if calm.status == "completed" and calm.output != crashed.output:
        raise ReplayUnsafe(f"{fn.id}: its output without a crash: {calm.output!r}; with crashes: {crashed.output!r}")
    return crashed


def _in_a_loop(coro: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coro)
    coro.close()
    raise RuntimeError("this test is asynchronous already: use `async with TestEngine(app)` in it")
