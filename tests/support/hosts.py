"""The processes of a simulation, by host: stopped between any two callbacks, as SIGSTOP does, and resumed or never.

What belongs to a host is decided by the context that a callback runs in: everything that was started inside
`network.on_host(name)`, and what arrives on its connections. A process that is stopped and never resumed has been
killed: no `finally` runs, no byte leaves, its memory is as good as gone. Time goes on, as a stopped process finds when
it wakes up.
"""

import asyncio
import math
from collections import deque

from tests.support.loop import VirtualLoop
from tests.support.network import host as host_of_context


class Hosts:
    """Who may run in this simulation. Make it once, before the first host is used."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._ready = _Ready(loop._ready)
        self._resumed_at_s: dict[str, float] = {}
        loop._ready = self._ready

    def stop(self, name: str) -> None:
        """Run nothing of this host any more; what becomes ready waits."""
        self._ready.waiting.setdefault(name, [])

    def resume(self, name: str) -> None:
        """Run what has become ready meanwhile, in its order."""
        waiting = self._ready.waiting.pop(name, None)
        if waiting is not None:
            self._resumed_at_s[name] = self._loop.now_s
            self._ready.extendleft(reversed(waiting))

    def is_stopped(self, name: str) -> bool:
        """Say whether it is stopped now."""
        return name in self._ready.waiting

    def wakes_up(self, name: str, within_s: float = 0) -> bool:
        """Say whether it was resumed not longer ago: by default at this very moment, so that what it does now, it had
        decided before it was stopped.
        """
        return self._loop.now_s - self._resumed_at_s.get(name, -math.inf) <= within_s

    def bury(self) -> None:
        """Let everybody go on, so that a simulation can end by cancelling all tasks."""
        for name in list(self._ready.waiting):
            self.resume(name)


class _Ready(deque[asyncio.Handle]):
    """The loop's queue of callbacks; hands out a callback of a stopped host as one that was cancelled."""

    def __init__(self, handles: deque[asyncio.Handle]) -> None:
        super().__init__(handles)
        self.waiting: dict[str, list[asyncio.Handle]] = {}

    def popleft(self) -> asyncio.Handle:
        handle = super().popleft()
        if not self.waiting:
            return handle
        waiting = self.waiting.get(handle._context.get(host_of_context, ""))  # type: ignore[attr-defined]
        if waiting is None:
            return handle
        waiting.append(handle)
        return _nothing()


def _nothing() -> asyncio.Handle:
    handle = asyncio.Handle(_nothing, (), asyncio.get_running_loop())
    handle.cancel()
    return handle
