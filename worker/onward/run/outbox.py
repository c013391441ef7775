"""What a run has to tell the engine: entries become frames, and frames are kept until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final

from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    Ack,
    Checkpoint,
    Outcome,
    Progress,
    Seen,
    StepDone,
    StepFailed,
    TimerFired,
    WorkerEntry,
)
from onward_protocol.window import SendWindow

from onward.replay.gate import Gate
from onward.replay.turn import Cancellable, Later
from onward.run.pace import NOW, Buffer

SHOW_MS: Final = 1_000
"""People read how far a run is no more often."""

LARGE_BYTES: Final = 512
"""A result of this size is worth a frame of its own: it does not wait for the next one."""

STRIDES_MIN: Final = 16
"""A result that leaves before its code goes on saves some 25 of the 400 µs of a lone step; if the code then ends or
waits, the second frame costs a commit, as much as so many steps save. A run that has taken fewer is not worth the risk.
"""


class Outbox:
    """Entries in the order in which they were made, one frame per iteration of the loop.

    A result waits until the code that it wakes has had one turn: a wait that it opens, or the run's outcome, then
    travels in the same frame. The frame leaves in the same iteration as it would have otherwise, because the socket is
    written at the end of it. With a `buffer` results wait until it says so, or until something else is sent.

    A strict run that has long gone from one step to the next, one result in each frame, will do so again: its result
    leaves before the code goes on, which then does so while the engine stores it.

    A run that may be ahead of what is stored, and whose next result may be there in the next turn of the loop, puts up
    to half a window of results into one frame: that costs both ends a fraction of as many frames.
    """

    __slots__ = (
        "_buffer",
        "_clock_ms",
        "_context",
        "_entries",
        "_flush_soon",
        "_gate",
        "_is_closed",
        "_is_due",
        "_is_moving",
        "_later",
        "_loop",
        "_send",
        "_show_at_ms",
        "_show_timer",
        "_shown",
        "_strides",
        "_timer",
        "_turns",
        "is_holding",
        "window",
    )

    def __init__(
        self,
        run: str,
        epoch: int,
        *,
        gate: Gate,
        send: Callable[[Checkpoint], None],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        buffer: Buffer | None,
        is_moving: Callable[[], bool],
        later: Later,
        clock_ms: Callable[[], int],
    ) -> None:
        self.is_holding: bool = False
        """True while something waits here that no frame is about to take along."""
        self.window: SendWindow = SendWindow(run, epoch)
        self._gate = gate
        self._send = send
        self._loop = loop
        self._context = context
        self._entries: list[WorkerEntry] = []
        self._flush_soon = False
        self._is_closed = False
        self._is_due = False
        self._buffer = buffer
        self._is_moving = is_moving
        self._strides = 0
        self._turns = 0
        self._later = later
        self._clock_ms = clock_ms
        self._timer: Cancellable | None = None
        self._shown: bytes | None = None
        self._show_at_ms = 0
        self._show_timer: Cancellable | None = None

    def mark(self, pos: int) -> None:
        """Note that the engine's entry `pos` entered the log here; it travels with the next entry."""
        self._entries.append(Seen(pos))
        self.is_holding = True

    def add(self, entry: WorkerEntry) -> None:
        """Send the entry with the next frame, which leaves at the end of this iteration of the loop."""
        self._entries.append(entry)
        self._is_due = True
        self.flush_soon()

    def hold(self, result: StepDone | StepFailed | TimerFired, *, is_lone: bool) -> None:
        """Send the result with the next frame; the caller says when with `flush_soon`. `is_lone`: no other step of the
        run executes.
        """
        self._entries.append(result)
        if self._buffer is not None:
            self._hold_back(result, self._buffer)
        elif is_lone and self._strides >= STRIDES_MIN:
            self.flush()
        else:
            self._is_due = True
            if isinstance(result, StepDone) and len(result.output) >= LARGE_BYTES:
                self._turns = self._gate.window

    def show(self, value: bytes) -> None:
        """Send how far the run is in a frame of its own, at most one a second: only the newest counts."""
        if self._is_closed:
            return
        self._shown = value
        if self._show_timer is None:
            delay_ms = self._show_at_ms - self._clock_ms()
            if delay_ms <= 0:
                self._send_shown()
            else:
                self._show_timer = self._context.run(self._later, delay_ms / 1000, self._send_shown)

    def _send_shown(self) -> None:
        value, self._shown = self._shown, None
        self._stop_showing()
        if value is not None and not self._is_closed:
            self._show_at_ms = self._clock_ms() + SHOW_MS
            self._send(self.window.next(encode_entries([Progress(value)]), None))

    def flush_soon(self) -> None:
        """Make a frame of what waits, after the callbacks that are in the loop now."""
        if self._is_due and not self._flush_soon:
            self._flush_soon = True
            self._loop.call_soon(self._flush_pending, context=self._context)

    def flush(self, outcome: Outcome | None = None) -> None:
        """Send a frame with everything that waits, and the outcome if there is one."""
        if self._is_closed:
            return
        if outcome is not None:
            self._send_shown()
        entries = encode_entries(self._entries)  # first: what cannot be written must not be lost without a word
        is_stride = self._gate.window == 1 and len(self._entries) == 1 and isinstance(self._entries[0], StepDone)
        self._strides = self._strides + 1 if is_stride else 0
        self._entries = []
        self._is_due = self.is_holding = False
        self._turns = 0
        if self._buffer is not None:
            self._buffer.clear()
            self._stop_timer()
        frame = self.window.next(entries, outcome)
        self._gate.sent(frame.seq)
        self._send(frame)

    def drain(self) -> None:
        """Send everything with the next frame, at the end of this iteration of the loop."""
        if self._entries:
            self._is_due = True
            self.flush_soon()

    def stop_buffering(self) -> None:
        """Send everything now, and each result at once from now on."""
        if self._entries:
            self.flush()
        self._buffer = None

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
        self._is_due = self.is_holding = False
        self._entries.clear()
        self._stop_timer()
        self._stop_showing()

    @property
    def is_settled(self) -> bool:
        """True if everything that was made is acknowledged."""
        return not self._entries and self.window.acked_seq == self.window.last_seq

    def _hold_back(self, result: StepDone | StepFailed | TimerFired, buffer: Buffer) -> None:
        now_ms = self._clock_ms()
        buffer.put(result, now_ms)
        self.is_holding = True
        if buffer.send_at_ms == NOW:
            self._is_due = True
        elif buffer.send_at_ms is not None and self._timer is None:
            delay_s = (buffer.send_at_ms - now_ms) / 1000
            self._timer = self._context.run(self._later, delay_s, self._on_time)  # not a timer of the run's own

    def _on_time(self) -> None:
        self._timer = None
        self.flush()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_showing(self) -> None:
        if self._show_timer is not None:
            self._show_timer.cancel()
            self._show_timer = None

    def _flush_pending(self) -> None:
        self._flush_soon = False
        if not self._is_due:
            return
        spare = self._gate.window // 2
        if self._gate.unsent < spare and self._turns < self._gate.window and self._is_moving():
            self._turns += 1
            self.flush_soon()
        else:
            self.flush()
