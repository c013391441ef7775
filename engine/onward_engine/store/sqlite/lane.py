"""Where blocking calls run: a thread of their own, one call at a time, in order; or right here, for simulations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeVar

T = TypeVar("T")

_STACK_BYTES = 8 * 1024 * 1024  # what Linux gives; decoding deep data on the 512 KiB of macOS would end the process


class Lane(Protocol):
    """Runs one call at a time."""

    async def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. Cancelling does not stop it."""
        ...

    def close(self) -> None:
        """End after the calls so far."""


class ThreadLane:
    """A thread that owns whatever its calls touch."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread.start()
        finally:
            threading.stack_size(before)

    async def call(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(partial(_answer, loop, future, work))
        return await future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class InlineLane:
    """Runs everything at once, in the caller's thread."""

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        """Nothing runs here when nobody calls."""


def _answer(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], work: Callable[[], T]) -> None:
    try:
        tell = partial(_set_result, future, work())
    except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits, whatever it is
        tell = partial(_set_error, future, error)
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(tell)


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_error(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
