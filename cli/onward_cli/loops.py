"""Event loops and signals of a process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Never, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed, on asyncio elsewhere."""
    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


class Signals:
    """SIGINT, SIGTERM and SIGHUP, counted: the first asks to finish, the second to stop now, the third does not ask.

    They are Python-level handlers on purpose: user code that blocks the event loop does not block them. Use it inside
    the running loop; `status` is what to exit with.
    """

    def __init__(self, finish: Callable[[int], None], give_up: Callable[[int], None]) -> None:
        self._asks = [finish, give_up]
        self._loop = asyncio.get_running_loop()
        self.status = 0
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._asks:
            os._exit(128 + number)
        if len(self._asks) == 1:
            self.status = 128 + number
        self._loop.call_soon_threadsafe(self._asks.pop(0), number)


def leave(status: int) -> Never:
    """End the process, even if threads of user code still run: nobody may go on with work that was handed on."""
    if threading.active_count() > 1:
        leave_now(status)
    sys.exit(status)


def leave_now(status: int) -> Never:
    """End the process without asking anybody."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
