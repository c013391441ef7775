"""What the engine told the workers: which results are durable, and what was read back out of the journal.

It is taken from the messages themselves, so neither end can have another opinion about what was said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from onward_protocol.codec import decode_entries
from onward_protocol.messages import Ack, Assign, Checkpoint, EngineFrame, Journal, StepDone, Welcome, WorkerFrame

NO_ENTRIES: Final = b"\x90"

Read = tuple[str, int, int, bytes]
"""A run, the epoch and the number of a frame, and its entries."""


class Overheard:
    """`acked` is what was acknowledged, by run and key; `read` are the frames that assignments have brought."""

    def __init__(self) -> None:
        self.acked: dict[tuple[str, str], bytes] = {}
        self.read: set[Read] = set()
        self._unacked: dict[tuple[str, int, int], bytes] = {}

    def said(self, frames: Iterable[WorkerFrame]) -> None:
        """Note what a worker says."""
        for frame in frames:
            if isinstance(frame, Checkpoint):
                self._unacked[frame.run, frame.epoch, frame.seq] = frame.entries

    def told(self, frames: Iterable[EngineFrame]) -> None:
        """Note what a worker is told."""
        for frame in frames:
            if isinstance(frame, Ack):
                self._note(frame)
            elif isinstance(frame, Welcome):
                self.connected()
            elif isinstance(frame, Assign | Journal):
                self.read.update((frame.run, one.epoch, one.seq, one.entries) for one in frame.segments)

    def durable(self, run: str, key: str, output: bytes) -> None:
        """Note a result that is durable."""
        self.acked[run, key] = output

    def connected(self) -> None:
        """Note that the engine has taken a worker in, with all that it holds."""

    def broken(self) -> None:
        """Note that a worker's connection is gone."""

    def _note(self, ack: Ack) -> None:
        for seq in range(1, ack.seq + 1):
            entries = decode_entries(self._unacked.pop((ack.run, ack.epoch, seq), NO_ENTRIES))
            for one in entries:
                if isinstance(one, StepDone):
                    self.durable(ack.run, one.key, one.output)
