"""The numbers of a run's frames, and what the worker has to keep.

`seq` starts at 1 in every epoch and has no gaps. An `Ack` is cumulative and names the newest stored frame of its epoch.
"""

from __future__ import annotations

from collections import deque

from onward_protocol.errors import ProtocolError
from onward_protocol.messages import Ack, Checkpoint, Outcome


class SendWindow:
    """The frames of one run in one epoch that are made and not acknowledged."""

    __slots__ = ("_frames", "acked_seq", "epoch", "last_seq", "run", "unacked_bytes")

    def __init__(self, run: str, epoch: int) -> None:
        self.run: str = run
        self.epoch: int = epoch
        self.last_seq: int = 0
        self.acked_seq: int = 0
        self.unacked_bytes: int = 0
        self._frames: deque[Checkpoint] = deque()

    def next(self, entries: bytes, outcome: Outcome | None = None) -> Checkpoint:
        """Make the next frame and keep it until it is acknowledged."""
        self.last_seq += 1
        frame = Checkpoint(self.run, self.epoch, self.last_seq, entries, outcome)
        self._frames.append(frame)
        self.unacked_bytes += len(entries)
        return frame

    def ack(self, ack: Ack) -> tuple[Checkpoint, ...]:
        """Forget what is acknowledged and return the frames to send again, oldest first.

        Acks of other runs and epochs are ignored. Raises `ProtocolError` if the Ack names a frame that was never sent.
        """
        if ack.run != self.run or ack.epoch != self.epoch:
            return ()
        if ack.seq > self.last_seq:
            raise ProtocolError(
                "out_of_turn", f"{self.run}: Ack of frame {ack.seq}, but the last one sent is {self.last_seq}"
            )
        self._forget(ack.seq)
        return self.unacked if ack.resend else ()

    @property
    def unacked(self) -> tuple[Checkpoint, ...]:
        """The frames that the engine may not have, oldest first."""
        return tuple(self._frames)

    def _forget(self, seq: int) -> None:
        while self._frames and self._frames[0].seq <= seq:
            self.unacked_bytes -= len(self._frames.popleft().entries)
        self.acked_seq = max(self.acked_seq, seq)
