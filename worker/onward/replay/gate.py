"""How far effects may run ahead of what is durable: the window of unacknowledged results, and barriers. Pure."""

from __future__ import annotations

from collections import deque


class Gate:
    """Counts a run's results and those that are acknowledged.

    A body starts only while fewer than `window` results are unacknowledged: after a crash at most that many bodies are
    repeated, itself among them, and those that run beside it. Failed attempts and timers of the code's own are results
    too. A barrier's body also waits for everything that its caller knew, runs alone among barriers, and from its end
    until its acknowledgement no other body starts.

    A body has started when it is let through, although its first line runs a turn of the loop later and another one may
    have ended by then. Asked again there, short bodies that start together would wait for each other's round trips.
    """

    __slots__ = ("_marked", "_marks", "_required", "acked", "barrier_runs", "results", "window")

    def __init__(self, window: int) -> None:
        self.window: int = max(window, 1)
        self.results: int = 0
        self.acked: int = 0
        self.barrier_runs: bool = False
        self._required = 0
        self._marked = 0
        self._marks: deque[tuple[int, int]] = deque()

    def lets_pass(self, barrier: bool, asked_after: int) -> bool:
        """Tell whether a body that was asked for after `asked_after` results may start now."""
        if self.acked < self._required:
            return False
        if barrier:
            return not self.barrier_runs and self.acked >= asked_after
        return self.results - self.acked < self.window

    def count(self) -> None:
        """A result was recorded."""
        self.results += 1

    def drop(self) -> None:
        """A body ended for nothing: the log made the code give it up. As long as that part of the log is not durable, a
        crash repeats the body too, and so it counts with the newest result.
        """
        if self.results == self.acked:
            return
        if self._marked == self.results:
            self._marked += 1
            self._marks[-1] = (self._marks[-1][0], self._marked)
        self.results += 1

    def enter_barrier(self) -> None:
        """A barrier's body starts."""
        self.barrier_runs = True

    def leave_barrier(self) -> None:
        """A barrier's body ended; what it recorded has to be acknowledged before another body starts."""
        self.barrier_runs = False
        self._required = self.results

    @property
    def unsent(self) -> int:
        """Results that are in no frame yet."""
        return self.results - self._marked

    def sent(self, seq: int) -> None:
        """All results so far are in frames up to `seq`."""
        if self.results > self._marked:
            self._marked = self.results
            self._marks.append((seq, self.results))

    def acknowledged(self, seq: int) -> None:
        """Frames up to `seq` are durable."""
        while self._marks and self._marks[0][0] <= seq:
            self.acked = self._marks.popleft()[1]
