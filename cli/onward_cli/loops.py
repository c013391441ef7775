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

_ASKS = 2


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
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._came += 1
        count = self._asked() or self._came
        if count > _ASKS:
            os._exit(128 + number)
        if count == _ASKS:
            self.status = 128 + number
        while len(self._asks) > _ASKS - count:
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
