"""The middleware around the code of a run, for one residence: in a task of its own, outside of the run's lineage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from onward.errors import Evicted

if TYPE_CHECKING:
    from onward.middleware.base import Next
    from onward.run.threads import Ending


class Wrapper:
    """Calls `wrap` with a `next` that starts the run's code by `begin`, and tells `concluded` how all of it ended.

    The code runs in a copy of the context that the middleware has at that moment: what it sets there, the code sees.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        wrap: Callable[[Next[Any]], Awaitable[Any]],
        *,
        begin: Callable[[Context], None],
        concluded: Callable[[Ending], None],
    ) -> None:
        self._wrap = wrap
        self._begin = begin
        self._concluded = concluded
        self._code: asyncio.Future[Ending] = loop.create_future()
        self.has_code: bool = False
        """True while the run's own code can go on."""
        self._task = loop.create_task(self._run(), context=context)

    def code_ended(self, ending: Ending) -> None:
        """The run's code has come to its end, or will never: its middleware hears of it."""
        self.has_code = False
        if not self._code.done():
            self._code.set_result(ending)

    async def leave(self, patience_s: float) -> None:
        """Return when the middleware has ended, or has not let itself be cancelled within the patience."""
        self.code_ended((None, Evicted()))
        await asyncio.wait({self._task}, timeout=patience_s / 2)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=patience_s / 2)

    async def _run(self) -> None:
        try:
            ending: Ending = await self._wrap(self._next), None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it is how the run ends
            ending = None, error
        self._concluded(ending)

    async def _next(self) -> Any:
        if not self._code.done():
            self.has_code = True
            self._begin(copy_context())
        value, error = await self._code
        if error is not None:
            raise error
        return value
