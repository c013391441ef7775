"""What middleware is told about the life of its worker, and whose mistake it is when that cannot begin or end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from onward.function import Function
from onward.middleware.base import WorkerInfo

T = TypeVar("T")

LIFESPAN_NOTE: Final = "the App's lifespan failed"
MIDDLEWARE_NOTE: Final = "middleware failed at the start or the end of the worker"


class Blamed(AbstractAsyncContextManager[T], Generic[T]):
    """Around what user code opens and closes: what it raises stays as it is, and gets a note that says whose it is."""

    def __init__(self, inner: AbstractAsyncContextManager[T], note: str) -> None:
        self._inner = inner
        self._note = note

    async def __aenter__(self) -> T:
        try:
            return await self._inner.__aenter__()
        except Exception as raised:
            raised.add_note(self._note)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        except Exception as raised:
            if raised is not error:
                raised.add_note(self._note)
            raise


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
