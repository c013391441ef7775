"""What recent claims took, so that repeating one takes nothing more."""

from __future__ import annotations

from collections import OrderedDict

_KEPT_MAX = 4096  # a claim is repeated at once or never

Taken = tuple[tuple[int, int], ...]


class RecentClaims:
    """Claim ids and (ord, epoch) of the runs taken, of this process only: nobody else repeats its claims."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[str, Taken] = OrderedDict()
        self._new: dict[str, Taken] = {}
        self._mark: dict[str, Taken] = {}

    def get(self, claim: str) -> Taken | None:
        """Return what a claim took; None if it is new or long ago."""
        return self._new.get(claim, self._kept.get(claim))

    def put(self, claim: str, taken: Taken) -> None:
        """Note a claim of the open transaction."""
        self._new[claim] = taken

    def commit(self) -> None:
        """Keep what the transaction claimed."""
        if self._new:
            self._kept.update(self._new)
            self._new = {}
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)

    def rollback(self) -> None:
        """Forget what the transaction claimed."""
        self._new = {}

    def savepoint(self) -> None:
        """Mark a place."""
        self._mark = dict(self._new)

    def rollback_to_savepoint(self) -> None:
        """Return to the mark."""
        self._new = dict(self._mark)
