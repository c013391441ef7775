"""A coroutine whose cancellation arrives as another exception."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any


@types.coroutine
def intercepted(
    coro: Coroutine[Any, Any, Any], replacement: Callable[[], BaseException | None]
) -> Generator[Any, Any, Any]:
    """Await `coro`; when it is cancelled, throw what `replacement` returns instead (None: the cancellation itself).

    A task can only be cancelled with a plain `CancelledError`, wherever it waits; this is the one place to say more.
    """
    error: BaseException | None = None
    while True:
        try:
            awaited = coro.send(None) if error is None else coro.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        try:
            yield awaited
        except GeneratorExit:
            coro.close()
            raise
        except asyncio.CancelledError as cancelled:
            error = replacement() or cancelled
        except BaseException as raised:  # noqa: BLE001 - passed on
            error = raised
