"""Assignments whose journals come in pieces: nothing of such a run is handed over before the last one is here."""

from __future__ import annotations

from msgspec.structs import replace

from onward_protocol.errors import ProtocolError
from onward_protocol.limits import Limits
from onward_protocol.messages import Assign, Cancel, EngineEntry, Fence, Halt, Journal, Segment, Wake

OfRun = Assign | Journal | Wake | Cancel | Fence | Halt
Whole = Assign | Wake | Cancel | Fence | Halt


def takes_slot(frame: OfRun) -> bool:
    """Tell whether the engine has spent a slot for a frame."""
    return isinstance(frame, Assign) or (isinstance(frame, Wake) and frame.slot)


class _Gathering:
    """One assignment, as far as it has come. `later` is what came for the run meanwhile."""

    __slots__ = ("assign", "entries", "later", "segments", "size")

    def __init__(self, assign: Assign) -> None:
        self.assign = assign
        self.segments: list[Segment] = list(assign.segments)
        self.entries: list[EngineEntry] = list(assign.entries)
        self.later: list[Wake | Cancel | Halt] = []
        self.size = 0

    def add(self, journal: Journal, limits: Limits) -> None:
        self.segments += journal.segments
        self.entries += journal.entries
        self.size += sum(len(segment.entries) for segment in journal.segments)
        if self.size > limits.frame_bytes_max:
            raise ProtocolError("too_large", f"a journal of more than {limits.frame_bytes_max} bytes")

    def whole(self) -> Assign:
        return replace(self.assign, segments=tuple(self.segments), entries=tuple(self.entries), journal_follows=False)


class Journals:
    """The unfinished assignments of one connection, by run. They die with it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._gathering: dict[str, _Gathering] = {}

    def take(self, frame: OfRun) -> list[Whole]:
        """Return what is whole with this frame, in order. Raises `ProtocolError`."""
        match frame:
            case Assign():
                return self._begin(frame)
            case Journal():
                return self._add(frame)
            case Wake() | Cancel() | Halt():
                return self._keep(frame)
            case Fence():
                return self._fence(frame)

    @property
    def slots(self) -> int:
        """How many slots are for what is not handed over yet."""
        return sum(1 + sum(map(takes_slot, gathering.later)) for gathering in self._gathering.values())

    def clear(self) -> None:
        """Forget them all: the next connection begins without them."""
        self._gathering.clear()

    def _of(self, run: str, epoch: int) -> _Gathering | None:
        gathering = self._gathering.get(run)
        return gathering if gathering is not None and gathering.assign.epoch == epoch else None

    def _begin(self, assign: Assign) -> list[Whole]:
        """A newer assignment takes the place of an unfinished one of its run."""
        self._gathering.pop(assign.run, None)
        if not assign.journal_follows:
            return [assign]
        self._gathering[assign.run] = _Gathering(assign)
        return []

    def _add(self, journal: Journal) -> list[Whole]:
        """A piece of an assignment that was taken back meanwhile is ignored."""
        gathering = self._of(journal.run, journal.epoch)
        if gathering is None:
            return []
        gathering.add(journal, self._limits)
        if not journal.last:
            return []
        del self._gathering[journal.run]
        return [gathering.whole(), *gathering.later]

    def _keep(self, frame: Wake | Cancel | Halt) -> list[Whole]:
        gathering = self._of(frame.run, frame.epoch)
        if gathering is None:
            return [frame]
        gathering.later.append(frame)
        return []

    def _fence(self, fence: Fence) -> list[Whole]:
        gathering = self._gathering.get(fence.run)
        if gathering is not None and gathering.assign.epoch <= fence.epoch:
            del self._gathering[fence.run]
        return [fence]
