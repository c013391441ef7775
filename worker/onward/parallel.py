"""Awaitables of a run beside each other: which ends first, which next, and no more than so many at once.

Nothing of this is recorded. What a run's tasks wait for reaches them one entry at a time, in the order of its log, so
they end in the same order on every replay. The threads of a sync function have no such order: which of two is quicker
with its own code is chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Set
from typing import Any, Generic, NamedTuple, TypeVar

from onward.errors import ConfigError, NonDeterminism

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F", bound="asyncio.Future[Any]")


class Winner(NamedTuple, Generic[T_co]):
    """What ended first in `ctx.race`: its name there, and its result."""

    name: str
    value: T_co


class Completed(AsyncIterator[F]):
    """Futures in the order in which they end. Not a generator: one of those that is left half-way is closed by the
    garbage collector, whenever that comes by.
    """

    def __init__(self, futures: Iterable[F]) -> None:
        self._ended: asyncio.Queue[F] = asyncio.Queue()
        self._left = 0
        for future in dict.fromkeys(futures):
            self._left += 1
            future.add_done_callback(self._ended.put_nowait)

    async def __anext__(self) -> F:
        """Return the next one that has ended."""
        if not self._left:
            raise StopAsyncIteration
        ended = await self._ended.get()
        self._left -= 1
        return ended


def as_completed(aws: Iterable[Awaitable[Any]]) -> Completed[asyncio.Future[Any]]:
    """Make tasks of what is none, in its order. Raises `NonDeterminism` if it has none."""
    if isinstance(aws, Set) and not all(isinstance(one, asyncio.Future) for one in aws):
        raise NonDeterminism(
            "ctx.as_completed: a set of coroutines has another order in each process; give it a list, or tasks.",
            code="E0307",
        )
    return Completed(map(asyncio.ensure_future, aws))


async def race(aws: Mapping[str, Awaitable[T]]) -> Winner[T]:
    """Return the first that ends, by its name; the others are cancelled, and have ended then."""
    if not aws:
        raise ConfigError("ctx.race: it needs at least one awaitable.", code="E0105")
    racers = {name: asyncio.ensure_future(one) for name, one in aws.items()}
    try:
        first = await anext(Completed(racers.values()))
    finally:
        await _cancel(racers.values())
    name = next(name for name, racer in racers.items() if racer is first)
    return Winner(name, first.result())


async def run_each(call: Callable[[A], Awaitable[R]], items: Iterable[A], limit: int | None) -> list[R]:
    """Await `call(item)` for all items, a task for each, at most `limit` at once; return the results in order.

    The first failure cancels the others and is raised itself.
    """
    places = asyncio.Semaphore(limit) if limit else None

    async def one(item: A) -> R:
        if places is None:
            return await call(item)
        async with places:
            return await call(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def check_limit(limit: int | None) -> None:
    """Raise `ConfigError` if `limit` would let nothing run."""
    if limit is not None and limit < 1:
        raise ConfigError(f"ctx.map, option 'limit': {limit} is less than 1.", code="E0105")


async def _cancel(futures: Iterable[asyncio.Future[Any]]) -> None:
    running = [future for future in futures if not future.done()]
    for future in running:
        future.cancel()
    if running:
        await asyncio.wait(running)
