"""What a run has to tell the engine: entries become frames, and frames are kept until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from onward_protocol.codec import encode_entries
from onward_protocol.messages import Ack, Checkpoint, Outcome, Seen, WorkerEntry
from onward_protocol.window import SendWindow

from onward.replay.gate import Gate


class Outbox:
    """Entries in the order in which they were made, one frame per iteration of the loop.

    A result waits until the code that it wakes has had one turn: a wait that it opens, or the run's outcome, then
    travels in the same frame. The frame leaves in the same iteration as it would have otherwise, because the socket is
    written at the end of it.
    """

    __slots__ = ("_context", "_entries", "_flush_soon", "_gate", "_is_closed", "_is_due", "_loop", "_send", "window")

    def __init__(
        self,
        run: str,
        epoch: int,
        *,
        gate: Gate,
        send: Callable[[Checkpoint], None],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        self.window: SendWindow = SendWindow(run, epoch)
        self._gate = gate
        self._send = send
        self._loop = loop
        self._context = context
        self._entries: list[WorkerEntry] = []
        self._flush_soon = False
        self._is_closed = False
        self._is_due = False

    def mark(self, pos: int) -> None:
        """Note that the engine's entry `pos` entered the log here; it travels with the next entry."""
        self._entries.append(Seen(pos))

    def add(self, entry: WorkerEntry) -> None:
        """Send the entry with the next frame, which leaves at the end of this iteration of the loop."""
        self.hold(entry)
        self.flush_soon()

    def hold(self, entry: WorkerEntry) -> None:
        """Send the entry with the next frame; the caller says when with `flush_soon`."""
        self._entries.append(entry)
        self._is_due = True

    def flush_soon(self) -> None:
        """Make a frame of what waits, after the callbacks that are in the loop now."""
        if self._is_due and not self._flush_soon:
            self._flush_soon = True
            self._loop.call_soon(self._flush_pending, context=self._context)

    def flush(self, outcome: Outcome | None = None) -> None:
        """Send a frame with everything that waits, and the outcome if there is one."""
        if self._is_closed:
            return
        entries, self._entries = self._entries, []
        self._is_due = False
        frame = self.window.next(encode_entries(entries), outcome)
        self._gate.sent(frame.seq)
        self._send(frame)

    def acknowledged(self, ack: Ack) -> None:
        """Forget what is durable, and repeat what the engine asks for. Raises `ProtocolError` for an unknown frame."""
        again = self.window.ack(ack)
        self._gate.acknowledged(self.window.acked_seq)
        for frame in again:
            self._send(frame)

    def resend(self) -> None:
        """Send every unacknowledged frame again, oldest first."""
        for frame in self.window.unacked:
            self._send(frame)

    def close(self) -> None:
        """Make no more frames; what has not been sent is dropped."""
        self._is_closed = True
        self._is_due = False
        self._entries.clear()

    @property
    def is_settled(self) -> bool:
        """True if everything that was made is acknowledged."""
        return not self._entries and self.window.acked_seq == self.window.last_seq

    def _flush_pending(self) -> None:
        self._flush_soon = False
        if self._is_due:
            self.flush()
