"""Whether the disk is quick enough for commits on the event loop. Pure.

A hand-over to another thread and back takes about as long as half a commit, so a lone small commit is made where it is
asked for. But the event loop must not wait for a disk that has stalled: then beats and requests would wait with it. So
commits move to the loop only after many quick ones in a row, the first slow one moves them back to the thread, and each
time it takes longer until they return. The loop loses one slow commit now and then, never a series.
"""

from __future__ import annotations

from typing import Final

QUICK_MS: Final = 40.0
"""Local disks have hiccups of some ten milliseconds now and then; a beat may well be so late."""

PROOF_MIN: Final = 64
PROOF_MAX: Final = 4_096


class Pace:
    """What the last commits took."""

    __slots__ = ("_proof", "_quick")

    def __init__(self) -> None:
        self._proof = PROOF_MIN
        self._quick = 0

    @property
    def is_brisk(self) -> bool:
        """Tell whether enough commits in a row were quick."""
        return self._quick >= self._proof

    def note(self, took_ms: float) -> None:
        """Note how long a commit took, wherever it was made."""
        if took_ms <= QUICK_MS:
            self._quick += 1
            return
        if self.is_brisk:
            self._proof = min(2 * self._proof, PROOF_MAX)
        self._quick = 0
