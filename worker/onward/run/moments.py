"""What reaches a run's code without being awaited there: the end of a durable timeout."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context

from onward_protocol.messages import Sleep

from onward.replay.journal import LogEntry
from onward.run.asks import Home, close_wait, end_wait, open_wait


class Alarm:
    """A moment that stands in the engine.

    `ring` is called in the run when its place in the log has come, and the run is quiet; not after `give_up`.
    """

    __slots__ = ("_context", "_home", "_is_over", "_ring", "_wait", "key")

    def __init__(self, home: Home, key: str, wait: Sleep, ring: Callable[[], None]) -> None:
        self.key: str = key
        self._home = home
        self._wait = wait
        self._ring = ring
        self._context: Context = copy_context()
        self._is_over = False

    @property
    def is_wanted(self) -> bool:
        """False once it has rung, or the code has left what it limits."""
        return not self._is_over

    def begin(self) -> None:
        """Open it, unless an earlier residence has.

        One that was closed too is not needed: a thread may not have come to the end of its block yet.
        """
        if self.key not in self._home.journal.closed:
            open_wait(self._home, self.key, self._wait)

    def deliver(self, entry: LogEntry) -> None:
        """Ring."""
        end_wait(self._home, self.key)
        if not self._is_over:
            self._is_over = True
            self._context.run(self._ring)

    def give_up(self) -> None:
        """Close it."""
        if not self._is_over:
            self._is_over = True
            close_wait(self._home, self.key)
