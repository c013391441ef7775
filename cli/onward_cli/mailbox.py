"""Signals that a supervisor gets."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM))
"""Those that ask a process to end."""


class Mailbox:
    """Signals that arrive, in their order. Handlers do nothing but wake up the one who waits."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _do_nothing)  # where it is ignored, nobody would learn how a child has ended
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, _do_nothing)

    def wait(self, seconds: float) -> list[int]:
        """Return the signals that have arrived, as soon as there is one."""
        select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):
            return list(os.read(self._reader, 256))
        return []


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The number is in the mailbox."""
