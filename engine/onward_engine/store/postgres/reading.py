"""The one way to what a batch has read, and the account of what it has not.

`ask` says whether something was read; what was not is noted, so that it can be read and the batch be done again. Until
then the answer is that of an empty table.
"""

from __future__ import annotations

from ..port import StoreError
from ..undo import Undo
from .needs import Kind, Need, Needs
from .statics import Statics


class Incomplete(StoreError):
    """The batch has asked for what was not read. For nobody outside of this package."""


class Unstorable(ValueError):
    """A text that PostgreSQL does not take."""


class Reading:
    """What all groups of rows share: `locked` are the runs whose rows nobody else can change now."""

    def __init__(self, statics: Statics) -> None:
        self.undo = Undo()
        self.statics = statics
        self.covered: dict[Need, int] = {}
        self.missing = Needs()
        self.locked: set[int] = set()
        self.found_runs: set[int] = set()  # in lists, so that they have to be locked
        self.found_ids: set[str] = set()
        self.found_sessions: set[str] = set()

    def ask(self, kind: Kind, key: object, limit: int = 0) -> bool:
        """Tell whether something was read, of a list so many rows; note it as missing if not."""
        if self.covered.get(Need(kind, key), -1) >= limit:
            return True
        self.missing.want(kind, key, limit)
        return False

    def covers(self, kind: Kind, key: object) -> bool:
        """Tell whether something was read, and note nothing."""
        return Need(kind, key) in self.covered

    def is_locked(self, ord: int) -> bool:
        """Tell whether this batch may change a run; note it as missing if not."""
        return ord in self.locked or self.ask("run", ord)


def check_text(*texts: str) -> None:
    """Raise `Unstorable` for what is no text in a database."""
    for text in texts:
        if "\0" in text:
            raise Unstorable(f"{text!a} holds a character that cannot be stored")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unstorable(f"{text!a} is not valid Unicode") from None
