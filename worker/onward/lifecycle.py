"""What middleware is told about the life of its worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from onward.function import Function
from onward.middleware.base import WorkerInfo


@asynccontextmanager
async def started(functions: Iterable[Function[Any, Any]], instance: str) -> AsyncGenerator[None]:
    """Start the middleware of the functions, each once and in its order; in the end stop it in reverse."""
    chosen = list(functions)
    worker = WorkerInfo(instance, tuple(function.id for function in chosen))
    middleware = {id(one): one for function in chosen for one in function.middleware}
    async with AsyncExitStack() as stack:
        for one in middleware.values():
            await one.on_worker_start(worker)
            stack.push_async_callback(one.on_worker_stop, worker)
        yield
