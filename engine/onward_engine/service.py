"""The same life for every background part: `start` returns when it runs, `stop` may be called twice.

A service's task lives in the TaskGroup of whoever started it. An error in it ends the whole group: an engine with a
dead part is started again by whoever supervises it, rather than limping on.
"""

from __future__ import annotations

import asyncio
import contextlib


class Service:
    """One background task. Subclasses implement `_run`, and `_begin` if something has to be ready before `start`
    returns.
    """

    _task: asyncio.Task[None] | None = None

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to run inside `group`; returns when the service works."""
        await self._begin()
        self._task = group.create_task(self._run(), name=type(self).__name__)

    async def stop(self) -> None:
        """End it and wait until it has ended. Work that was handed to it and is not finished is dropped."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        # `wait` never raises what the task raised: that error belongs to the group.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])

    async def _begin(self) -> None:
        return

    async def _run(self) -> None:
        raise NotImplementedError
