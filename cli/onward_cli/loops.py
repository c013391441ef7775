"""Event loops and signals of a process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any, Never, TypeVar

from onward_cli.mailbox import SIGNALS

T = TypeVar("T")

PATIENCE_S = 1
"""For what user code does when it is cancelled."""

_ASKS = 2

_left_behind: set[asyncio.Task[Any]] = set()
"""Held here, because whoever drops a coroutine runs its `finally`."""


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed, on asyncio elsewhere. In the end, what user code has left on the loop is
    cancelled, and not waited for if it goes on: see `leave`.
    """
    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    else:
        factory = uvloop.new_event_loop
    runner = asyncio.Runner(loop_factory=factory)
    runner.get_loop().set_default_executor(_Unattended())
    try:
        return runner.run(main)
    finally:
        _left_behind.update(runner.run(_settle()))
        if not _left_behind:
            runner.close()


async def _settle() -> set[asyncio.Task[Any]]:
    """Cancel all other tasks; return those that do not end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    return (await asyncio.wait(rest, timeout=PATIENCE_S))[1] if rest else set()


class _Unattended(ThreadPoolExecutor):
    """For `asyncio.to_thread`. At the end of the loop nobody waits for what it executes: see `leave`."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


class Signals:
    """SIGINT, SIGTERM and SIGHUP, counted: the first asks to finish, the second to stop now, the third does not ask.

    They are Python-level handlers on purpose: user code that blocks the event loop does not block them. Use it inside
    the running loop; `status` is what to exit with. `asked` tells how many of them the process above has sent, which
    then count alone: service managers send one to every process, and that process hands it on.
    """

    def __init__(
        self, finish: Callable[[int], None], give_up: Callable[[int], None], asked: Callable[[], int] = lambda: 0
    ) -> None:
        self._asks = [finish, give_up]
        self._asked = asked
        self._came = 0
        self._loop = asyncio.get_running_loop()
        self.status = 0
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._came += 1
        count = self._asked() or self._came
        if count > _ASKS:
            os._exit(128 + number)
        if self._loop.is_closed():
            return  # on its way out
        if count == _ASKS:
            self.status = 128 + number
        while len(self._asks) > _ASKS - count:
            self._loop.call_soon_threadsafe(self._asks.pop(0), number)


def leave(status: int) -> Never:
    """End the process, even if user code still runs, in a thread or on the loop: nobody may go on with work that was
    handed on.
    """
    if threading.active_count() > 1 or _left_behind:
        leave_now(status)
    sys.exit(status)


def leave_now(status: int) -> Never:
    """End the process without asking anybody."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a disk that is full, a reader that has gone
            stream.flush()
    os._exit(status)
