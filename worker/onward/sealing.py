"""What middleware means to those who start runs and ask for their results, from outside of any run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from onward import calls
from onward.calls import Accepted, RunRecord
from onward.function import Function
from onward.middleware.base import Middleware
from onward.middleware.chain import Chain, checked_middleware
from onward.values.serde import encode

if TYPE_CHECKING:
    from onward.events import Event

T = TypeVar("T")


def sending_chain(middleware: Sequence[Middleware]) -> Chain | None:
    """Return what a client's events go through; None if nothing."""
    chain = Chain("", checked_middleware("Client", middleware))
    return chain if chain.sends else None


async def send_through(
    chain: Chain, events: Sequence[Event[Any]], send: Callable[[Sequence[Event[Any]]], Awaitable[Sequence[Accepted]]]
) -> Sequence[Accepted]:
    """Send events; return what became of those that middleware has let through."""
    accepted: Sequence[Accepted] = ()

    async def post(chosen: Sequence[Event[Any]]) -> tuple[str, ...]:
        nonlocal accepted
        accepted = await send(chosen) if chosen else ()
        return tuple(one.id for one in accepted)

    await chain.wrap_send(events, post)
    return accepted


async def sealed_input(function: Function[Any, Any] | str, data: object) -> bytes:
    """Return an input as it is stored. Only a `Function` knows its middleware, not its id."""
    if isinstance(function, str):
        return encode(data, "input")
    packed = function.write_input(data)
    chain = function.chain
    return packed if chain is None else await chain.encode(packed, chain.about("input"))


async def opened_output(function: Function[Any, Any] | None, run: str, output: bytes) -> Any:
    """Return a stored output with the function's type."""
    if function is not None and function.chain is not None:
        output = await function.chain.decode(output, function.chain.about("output", run))
    return calls.typed_output(function, output)


async def opened_failure(function: Function[Any, Any] | None, record: RunRecord) -> Exception:
    """Return why a run that is over has no output."""
    error, chain = record.error, None if function is None else function.chain
    if chain is not None and error is not None and error.data is not None:
        data = await chain.decode(msgspec.msgpack.encode(error.data), chain.about("failure"))
        record = replace(record, error=replace(error, data=msgspec.msgpack.decode(data)))
    return calls.failure_of_run(record)


def packed_input(function: Function[Any, Any] | str, data: object) -> bytes:
    """Return an input as it is stored, from blocking code."""
    return _run(function, lambda: sealed_input(function, data))


def output_of(function: Function[Any, Any] | None, run: str, output: bytes) -> Any:
    """Return a stored output with the function's type, from blocking code."""
    return _run(function, lambda: opened_output(function, run, output))


def failure_of(function: Function[Any, Any] | None, record: RunRecord) -> Exception:
    """Return why a run that is over has no output, from blocking code."""
    return _run(function, lambda: opened_failure(function, record))


def _run(function: Function[Any, Any] | str | None, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await what waits for nothing unless the function has middleware: an event loop costs more than the rest."""
    if isinstance(function, Function) and function.chain is not None:
        return blocking(work)
    try:
        work().send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("without middleware nothing is waited for")


def blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await middleware from blocking code, in a thread of its own if this one has an event loop already."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()
