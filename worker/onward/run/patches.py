"""Changes of the code that runs in flight come by: whether a run takes the new way or keeps to the old one."""

from __future__ import annotations

from typing import Final

from onward_protocol.messages import Patched

from onward.replay.journal import RETRY_MARK, key_of
from onward.run.asks import Awaited, Home

PREFIX: Final = "patch:"


class PatchPoint(Awaited):
    """The question at the first place of this name that the code has come to."""

    __slots__ = ()

    def begin(self) -> None:
        """Nothing is left in the log. What nobody has asked for yet was asked for by code behind this place."""
        self._record(not _was_passed(self.home))

    def deny(self) -> None:
        """The recorded code went on here without a mark. Nothing is written: what shows it is in the log for ever."""
        self.home.replay.give_up(self.key)
        self.deliver(Patched(self.key, is_on=False))

    def _record(self, is_on: bool) -> None:
        mark = Patched(self.key, is_on)
        self.home.replay.enter(mark)
        self.home.outbox.add(mark)


class Patches:
    """All of a run's, by name: the first answer holds for the whole run."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._points: dict[str, PatchPoint] = {}
        self._unasked: dict[str, Patched] = {}

    def ask(self, name: str) -> tuple[PatchPoint, bool]:
        """Return the question, and whether it is new."""
        key = PREFIX + name
        if key in self._points:
            return self._points[key], False
        point = self._points[key] = PatchPoint(self._home, key)
        if key in self._unasked:
            point.deliver(self._unasked.pop(key))
            return point, False
        return point, True

    def deny_one(self) -> bool:
        """The next entry of the log was asked for by nobody. Returns True if that answers a question.

        The recorded code has asked for it, so that it went on, without a mark, where this code stands at a question.
        With several questions that is the oldest one, and then the next if the entry is still nobody's.
        """
        for point in self._points.values():
            if point.is_wanted and point.key not in self._home.replay.expected:
                point.deny()
                return True
        return False

    def drop(self, mark: Patched) -> None:
        """The code has come by without asking: the question was taken out, because no run keeps to the old way."""
        self._unasked[key_of(mark)] = mark


def _was_passed(home: Home) -> bool:
    journal, replay = home.journal, home.replay
    if replay.late or journal.attempts:
        return True
    return any(
        journal.has_open(key) and key not in replay.asked and not key.rpartition(RETRY_MARK)[2].isdigit()
        for key in journal.opened
    )
