"""The engine's picture of what a worker holds, true at the moment at which the worker sent a beat.

Frames cross. What the engine sent counts only from the message on that a beat names as `seen`, or that another frame
proves to have arrived; what the worker sent counts as soon as it is here. So a difference between the picture and the
worker's digest is a fault, never a matter of timing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from onward_protocol.holdings import Difference, Holdings, compare
from onward_protocol.messages import (
    Ack,
    Assign,
    Cancel,
    Checkpoint,
    EngineEntry,
    EngineFrame,
    Fence,
    Held,
    Journal,
    Outcome,
    Parked,
    Return,
    Wake,
)

Change = Held | Wake | Cancel | Fence | Ack
"""What changes what the worker holds: engine frames, and of an assignment what is held when it is whole."""


class Mirror:
    """What a worker holds, as far as one connection tells."""

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self.holdings: Holdings = Holdings(held)
        self._promised: dict[str, int] = {item.run: item.epoch for item in self.holdings}
        self._pending: deque[tuple[int, Change]] = deque()
        self._incomplete: dict[str, Held] = {}  # assigned, and the journal is not all written

    def knows(self, run: str, epoch: int) -> bool:
        """Tell whether the worker holds the run at this epoch, or will when it has read everything."""
        return self._promised.get(run) == epoch

    def promised(self) -> tuple[tuple[str, int], ...]:
        """Return the runs that `knows` is true of, with their epochs."""
        return tuple(self._promised.items())

    def promise(self, frame: EngineFrame) -> None:
        """Note a frame that was queued for the worker."""
        if isinstance(frame, Assign):
            self._promised[frame.run] = frame.epoch
        elif isinstance(frame, Fence) or (isinstance(frame, Ack) and self._ends(frame)):
            self._forget(frame.run, frame.epoch)

    def sent(self, number: int, frame: EngineFrame) -> None:
        """Note that a frame was written, the end of it in the message with this number."""
        match frame:
            case Assign():
                self._assigned(number, frame)
            case Journal():
                self._told(number, frame, _highest(frame.entries), is_last=frame.last)
            case Wake() | Cancel():
                if not self._told(number, frame, frame.pos if isinstance(frame, Cancel) else _highest(frame.entries)):
                    self._pending.append((number, frame))
            case Fence():
                if (held := self._incomplete.get(frame.run)) is not None and held.epoch <= frame.epoch:
                    del self._incomplete[frame.run]
                self._pending.append((number, frame))
            case Ack() if self._ends(frame):
                self._pending.append((number, frame))
            case _:
                pass

    def seen(self, number: int) -> None:
        """Note that the worker has used all messages up to this one."""
        while self._pending and self._pending[0][0] <= number:
            self._apply(self._pending.popleft()[1])

    def checkpoint(self, frame: Checkpoint) -> None:
        """Note a Checkpoint that arrived. One sent again, or of another epoch, changes nothing."""
        held = self.holdings.get(frame.run)
        if held is not None and held.epoch == frame.epoch and frame.seq <= held.last_seq:
            return
        if held is None or held.epoch != frame.epoch:
            self._prove(Held, frame.run, frame.epoch)
        elif held.state == "parked":
            self._prove(Wake, frame.run, frame.epoch)
        held = self.holdings.get(frame.run)
        if held is not None and held.epoch == frame.epoch:
            self.holdings.put(replace(held, last_seq=frame.seq, state=_state_after(frame.outcome)))

    def returned(self, frame: Return) -> None:
        """Note a Return that arrived: the worker does not hold this run any more."""
        held = self.holdings.get(frame.run)
        if held is None or held.epoch != frame.epoch:
            self._prove(Held, frame.run, frame.epoch)
            held = self.holdings.get(frame.run)
        if held is not None and held.epoch == frame.epoch:
            self.holdings.drop(frame.run)
        if self._promised.get(frame.run) == frame.epoch:
            del self._promised[frame.run]

    def adopt(self, held: Iterable[Held], apart: frozenset[str] = frozenset()) -> Difference:
        """Take the worker's own list, which leaves out `apart`, for true and return how it differs from the picture."""
        kept = tuple(item for item in self.holdings if item.run in apart)
        listed = tuple(item for item in held if item.run not in apart)
        difference = compare((item for item in self.holdings if item.run not in apart), listed)
        for item in difference.lost:
            self._forget(item.run, item.epoch)
        for item in difference.strange:
            self._promised.setdefault(item.run, item.epoch)
        self.holdings = Holdings((*kept, *listed))
        return difference

    def _assigned(self, number: int, assign: Assign) -> None:
        held = Held(assign.run, assign.epoch, 0, 0, _highest(assign.entries), "running")
        self._incomplete.pop(assign.run, None)
        if assign.journal_follows:
            self._incomplete[assign.run] = held
        else:
            self._pending.append((number, held))

    def _told(self, number: int, frame: Journal | Wake | Cancel, pos: int, *, is_last: bool = False) -> bool:
        """Note what a worker learns about a run that it does not hold yet; return whether the run is such a one."""
        held = self._incomplete.get(frame.run)
        if held is None or held.epoch != frame.epoch:
            return False
        held = self._incomplete[frame.run] = replace(held, known=max(held.known, pos))
        if is_last:
            self._pending.append((number, self._incomplete.pop(frame.run)))
        return True

    def _prove(self, kind: type[Held | Wake], run: str, epoch: int) -> None:
        """Apply what the worker must have used before it could send this: the run's grant, and all before it."""
        grants = (
            place
            for place, (_, change) in enumerate(self._pending, 1)
            if isinstance(change, kind) and (change.run, change.epoch) == (run, epoch) and _is_grant(change)
        )
        for _ in range(next(grants, 0)):
            self._apply(self._pending.popleft()[1])

    def _apply(self, change: Change) -> None:
        match change:
            case Held():
                self.holdings.put(change)
            case Wake():
                self._raise_known(change, _highest(change.entries), is_started=change.slot)
            case Cancel():
                self._raise_known(change, change.pos, is_started=False)
            case Fence() | Ack():
                self._drop(change.run, change.epoch)
            case _:
                assert_never(change)

    def _raise_known(self, change: Wake | Cancel, pos: int, *, is_started: bool) -> None:
        held = self.holdings.get(change.run)
        if held is None or held.epoch != change.epoch:
            return
        state = "running" if is_started and held.state == "parked" else held.state
        self.holdings.put(replace(held, known=max(held.known, pos), state=state))

    def _drop(self, run: str, epoch: int) -> None:
        held = self.holdings.get(run)
        if held is not None and held.epoch <= epoch:
            self.holdings.drop(run)

    def _ends(self, ack: Ack) -> bool:
        held = self.holdings.get(ack.run)
        return held is not None and held.state == "ended" and held.epoch == ack.epoch and held.last_seq <= ack.seq

    def _forget(self, run: str, epoch: int) -> None:
        if self._promised.get(run, epoch + 1) <= epoch:
            del self._promised[run]


def _is_grant(change: Change) -> bool:
    return isinstance(change, Held) or (isinstance(change, Wake) and change.slot)


def _state_after(outcome: Outcome | None) -> str:
    if outcome is None:
        return "running"
    return "parked" if isinstance(outcome, Parked) else "ended"


def _highest(entries: tuple[EngineEntry, ...]) -> int:
    return max((entry.pos for entry in entries), default=0)
