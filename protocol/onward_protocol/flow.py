"""How many bytes may be under way to a peer: as many as it answers for in time.

A line carries 2 kB/s or 2 GB/s, and the kernels and proxies on it take in megabytes without saying how soon they will
deliver them. A beat waits behind all of it. So bytes are counted from their writing until the peer has answered a
*mark* behind them (a beat, or the request for one), and no more may be unanswered than the line carries in about a
second. An answer for much in a short time doubles this size; one that comes late halves it.

Whatever lies between the two ends, a beat then waits for hardly more than `size` bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from onward_protocol.limits import Limits


@dataclass(frozen=True, slots=True)
class _Mark:
    number: int
    bytes: int
    at_ms: int


class Flow:
    """The bytes of one direction of a connection. Until `begin` and after `end` nothing is held back."""

    __slots__ = (
        "_answered",
        "_answered_at_ms",
        "_changed",
        "_is_measured",
        "_marked",
        "_marks",
        "_size_max",
        "_size_min",
        "_written",
        "message_bytes",
        "size",
    )

    def __init__(self, limits: Limits) -> None:
        self.size: int = limits.flow_bytes_min
        self.message_bytes: int = self.size // 4
        """How large a message should be at most, so that answers come while more is under way."""
        self._size_min = limits.flow_bytes_min
        self._size_max = limits.flow_bytes_max
        self._is_measured = False
        self._marks: deque[_Mark] = deque()
        self._written = 0
        self._answered = 0
        self._marked = 0  # what was written when the newest mark was
        self._changed = 0  # what was written when `size` changed: answers for that say nothing about the new size
        self._answered_at_ms = 0

    def begin(self, now_ms: int) -> None:
        """Hold back from now on what is not answered. Everything so far was."""
        self._is_measured = True
        self._answered = self._marked = self._written
        self._answered_at_ms = now_ms

    def end(self) -> None:
        """Hold nothing back any more: nobody will answer."""
        self._is_measured = False

    def has_room(self, waiting: int) -> bool:
        """Tell whether the next message may be written, if so much waits; a sixteenth more for what is around data."""
        count = min(waiting, self.message_bytes)
        return not self._is_measured or self._written - self._answered + count <= self.size * 17 // 16

    @property
    def unanswered(self) -> int:
        """How many bytes were written and not answered for."""
        return self._written - self._answered

    def waits_ms(self, now_ms: int) -> int:
        """How long the oldest unanswered mark has been under way."""
        return now_ms - self._marks[0].at_ms if self._marks else 0

    def wrote(self, count: int, *, is_last: bool) -> bool:
        """Count a message, and tell whether a mark belongs into it.

        The last one that waits is marked sooner: what comes next then finds that almost everything was answered.
        """
        self._written += count
        enough = self.message_bytes // 4 if is_last else self.message_bytes
        return self._is_measured and self._written - self._marked >= enough

    def mark(self, number: int, now_ms: int) -> None:
        """Note a mark in the message that was counted last."""
        self._marked = self._written
        self._marks.append(_Mark(number, self._written, now_ms))

    def answered(self, number: int, now_ms: int, beat_ms: int) -> None:
        """Note that the peer has read everything up to this mark."""
        newest: _Mark | None = None
        while self._marks and self._marks[0].number <= number:
            newest = self._marks.popleft()
        if newest is not None:
            self._adapt(newest, now_ms, beat_ms)
            self._answered, self._answered_at_ms = newest.bytes, now_ms

    def _adapt(self, mark: _Mark, now_ms: int, beat_ms: int) -> None:
        if mark.bytes <= self._changed:
            return
        if now_ms - mark.at_ms > beat_ms // 2:
            self._resize(max(self._size_min, self.size // 2))
        elif (mark.bytes - self._answered) * (beat_ms // 10) >= self.size * (now_ms - self._answered_at_ms):
            self._resize(min(self._size_max, self.size * 2))

    def _resize(self, size: int) -> None:
        if size != self.size:
            self.size, self.message_bytes, self._changed = size, size // 4, self._written
