"""The places that limits leave.

Changes are held back and written together. What places runs have, and how many of a key are taken or offered, is kept
in memory, because each offer asks: this process is the only one that writes.
"""

from __future__ import annotations

from typing import NamedTuple

from ...rules.flow.ranks import NEW
from .rows import Db
from .statements import statements

_SQL = statements("places")
_KEPT_MAX = 40_000  # about 0.2 KB each


class Place(NamedTuple):
    """A place that a run has, or is offered."""

    function: str
    is_taken: bool
    rank: int


class PlaceRows:
    """Places by flow key and ord, and how many there are."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._places: dict[tuple[str, int], Place | None] = {}
        self._moved_places: set[tuple[str, int]] = set()  # are not written yet
        self._taken: dict[str, int] = {}
        self._offered: dict[tuple[str, str], int] = {}

    def places_taken(self, flow_key: str) -> int:
        count = self._taken.get(flow_key)
        if count is None:
            count = self._taken[flow_key] = self._counted("places_taken", flow_key)
        return count

    def places_offered(self, flow_key: str, function: str) -> int:
        count = self._offered.get((flow_key, function))
        if count is None:
            count = self._offered[flow_key, function] = self._counted("places_offered", flow_key, function)
        return count

    def offers_before(self, flow_key: str, function: str, rank: int, ord: int) -> int:
        return self._counted("offers_before", flow_key, function, rank, ord)

    def place(self, flow_key: str, ord: int) -> bool | None:
        place = self._place(flow_key, ord)
        return None if place is None else place.is_taken

    def put_place(self, flow_key: str, ord: int, function: str, is_taken: bool, rank: int = NEW) -> None:
        self._move(flow_key, ord, Place(function, is_taken, rank))

    def drop_place(self, flow_key: str, ord: int) -> None:
        self._move(flow_key, ord, None)

    def flush_places(self) -> None:
        """Write what was held back."""
        if not self._moved_places:
            return
        moved, self._moved_places = self._moved_places, set()
        rows = [(at, self._places[at]) for at in moved]
        self._db.executemany(_SQL["drop_place"], [at for at, place in rows if place is None])
        self._db.executemany(_SQL["put_place"], [(*at, *place) for at, place in rows if place is not None])
        for at, place in rows:
            if place is None:
                del self._places[at]

    def _move(self, flow_key: str, ord: int, place: Place | None) -> None:
        before = self._place(flow_key, ord)
        if before == place:
            return
        self._count(flow_key, before, -1)
        self._count(flow_key, place, 1)
        self._places[flow_key, ord] = place
        self._moved_places.add((flow_key, ord))

    def _place(self, flow_key: str, ord: int) -> Place | None:
        if (flow_key, ord) in self._places:
            return self._places[flow_key, ord]
        row = None if self._is_new(ord) else self._db.execute(_SQL["place"], (flow_key, ord)).fetchone()
        if row is None:
            return None
        place = self._places[flow_key, ord] = Place(row[0], bool(row[1]), row[2])
        return place

    def _is_new(self, ord: int) -> bool:
        """Tell whether a run is not written yet, so that it can have no place there."""
        del ord
        return False

    def _counted(self, name: str, *values: str | int) -> int:
        self.flush_places()
        return int(self._db.execute(_SQL[name], values).fetchone()[0])

    def _count(self, flow_key: str, place: Place | None, change: int) -> None:
        if place is None:
            return
        if place.is_taken and flow_key in self._taken:
            self._taken[flow_key] += change
        elif not place.is_taken and (flow_key, place.function) in self._offered:
            self._offered[flow_key, place.function] += change

    def _trim_places(self) -> None:
        """Forget what takes too much room; only between transactions, when nothing is held back."""
        if len(self._places) + len(self._taken) + len(self._offered) > _KEPT_MAX:
            self._discard_places()

    def _discard_places(self) -> None:
        self._places, self._moved_places = {}, set()
        self._taken, self._offered = {}, {}
