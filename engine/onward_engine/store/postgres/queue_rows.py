"""The queue, the places of limits, and what is due, of one batch."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from ...rules.flow import ranks
from ..claims import RecentClaims, Taken
from ..tables import QueueRow, QueueState
from . import values
from .needs import ALL, RANKS, Kind, Need
from .reading import Reading
from .rows import Rows
from .values import Row

PlaceKey = tuple[str, int]
_END = (ALL, ALL)
_NOTHING = (-1, -1)
_LATER = "later"

Spot = tuple[int, int]
"""A rank or a moment, and an ord."""


class Place(NamedTuple):
    """A place that a run has, or is offered."""

    flow_key: str
    ord: int
    function: str
    is_taken: bool
    rank: int


class QueueRows(Reading):
    """Queue rows by ord, by function, by due time, by flow key and by rank; places by flow key; recent claims.

    Lists are known up to a bound: what stands behind it in the database was not read.
    """

    def begin_queue(self, claims: RecentClaims) -> None:
        """Begin with nothing read. The claims are those of this process."""
        self.claims = claims
        self.queue: Rows[int, QueueRow] = Rows(self.undo, _lists)
        self.places: Rows[PlaceKey, Place] = Rows(self.undo, _offers)
        self._placed: set[int] = set()  # runs in line whose places were read
        self._taken: Rows[str, int] = Rows(self.undo)
        self._offered: Rows[tuple[str, str], int] = Rows(self.undo)
        self._in_line: dict[str, set[str]] = {}  # the functions that have been found in the line of a key
        self._line_heads: dict[str, dict[str, QueueRow]] = {}  # as of now, of the keys that were asked for
        self._offers: dict[tuple[str, str], list[Spot]] = {}
        self._line_keys: dict[tuple[str, str], list[str]] = {}
        self.found_keys: set[str] = set()
        self._last: dict[tuple[str, str], list[Spot]] = {}
        self._first: dict[str, list[Spot]] = {}
        self._bounds: dict[Hashable, tuple[int, int]] = {}
        self._later_until = -1
        self.next_rows: list[tuple[int, int]] = []
        self.due_rows: list[int] = []  # runs with queue rows that are due, and that are not locked
        self.claimable: set[str] = set()  # functions with runs in front that are not ours to claim

    def claimed(self, claim: str) -> Taken | None:
        return self.claims.get(claim)

    def put_claimed(self, claim: str, taken: Taken) -> None:
        self.claims.put(claim, taken)

    # -- the queue

    def queue_row(self, ord: int) -> QueueRow | None:
        if ord not in self.queue:
            self.is_locked(ord)
        return self.queue.get(ord)

    def put_queue_row(self, row: QueueRow) -> None:
        old = self.queue.get(row.ord)
        if old is not None and old.state is QueueState.LINE:  # it belongs to its key, and others may let it in
            self.ask("key", old.flow_key)
        else:
            self.is_locked(row.ord)
        self._put(row.ord, old, row)

    def drop_queue_row(self, ord: int) -> None:
        self.is_locked(ord)
        old = self.queue.get(ord)
        if old is not None:
            if old.state is QueueState.LINE:
                self.ask("key", old.flow_key)
            self._put(ord, old, None)

    def _put(self, ord: int, old: QueueRow | None, row: QueueRow | None) -> None:
        """Keep what is known of the heads of lines: who stands behind one changes nothing about it."""
        self.queue.put(ord, row)
        if old is not None and old.state is QueueState.LINE:
            head = self._line_heads.get(old.flow_key, {}).get(old.function)
            if head is not None and head.ord == ord:
                del self._line_heads[old.flow_key]
        if row is not None and row.state is QueueState.LINE:
            head = self._line_heads.get(row.flow_key, {}).get(row.function)
            if head is None or _place_in(row) < _place_in(head):
                self._line_heads.pop(row.flow_key, None)

    def forget_heads(self) -> None:
        """Find them anew: something was read or taken back."""
        self._line_heads.clear()

    def heads(self, function: str, limit: int) -> list[QueueRow]:
        self.ask("head", function, min(limit, 1))
        rows = self._front(("open", function))[: max(0, limit)]
        if len(rows) < limit and self._is_cut(("open", function)):
            self.missing.want("head", function, 2 * self._read("head", function) + limit)
        return rows

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        if self._later_until < now_ms:
            self.missing.want("later", now_ms, limit)
        rows = [row for row in self._front(_LATER) if row.due_at_ms <= now_ms][: max(0, limit)]
        if len(rows) < limit and self._is_cut(_LATER):
            self.missing.want(
                "later", max(now_ms, self._later_until), 2 * self._read("later", self._later_until) + limit
            )
        return rows

    def line_heads(self, flow_key: str) -> list[QueueRow]:
        self.ask("key", flow_key)
        heads = self._line_heads.get(flow_key)
        if heads is None:
            heads = self._line_heads[flow_key] = self._heads_of(flow_key)
        return [heads[function] for function in sorted(heads)]

    def _heads_of(self, flow_key: str) -> dict[str, QueueRow]:
        heads: dict[str, QueueRow] = {}
        for row in sorted(self.queue.grouped(("line", flow_key)), key=_place_in, reverse=True):
            if _place_in(row) <= self._bounds.get(("line", flow_key, row.function), _END):
                heads[row.function] = row
        for function in self._in_line.get(flow_key, ()):
            if function not in heads and self._is_cut(("line", flow_key, function)):
                self.missing.want("key", flow_key, 2 * self._read("key", flow_key) + 1)
        return heads

    def line_keys(self, function: str, after: str, limit: int) -> list[str]:
        self.ask("lines", (function, after), limit)
        known = self._line_keys.get((function, after), [])
        last = max(known, default="") if len(known) == self._read("lines", (function, after)) else None
        changed = {row.flow_key for row in self.queue.grouped(("in line", function))}
        changed = {key for key in changed if last is None or key <= last}
        gone = {key for key in known if key in self._line_heads and function not in self._line_heads[key]}
        return sorted(key for key in {*known, *changed} - gone if key > after)[: max(0, limit)]

    def last_rank(self, function: str, fair_key: str) -> int:
        self.ask("ranks", (function, fair_key), RANKS)
        spots = self._last.get((function, fair_key), [])
        changed = [row.rank for row in self.queue.grouped(("fair", function, fair_key))]
        rank = max([*changed, *self._as_found(spots)], default=0)
        if len(spots) == self._read("ranks", (function, fair_key)) and rank < spots[-1][0]:
            self.missing.want("ranks", (function, fair_key), 4 * len(spots))
        return rank

    def first_rank(self, function: str) -> int:
        self.ask("ranks", (function, ""), RANKS)
        spots = self._first.get(function, [])
        changed = [row.rank for row in self.queue.grouped(("ranked", function))]
        rank = min([*changed, *self._as_found(spots)], default=0)
        if len(spots) == self._read("ranks", (function, "")) and not 0 < rank <= spots[-1][0]:
            self.missing.want("ranks", (function, ""), 4 * len(spots))
        return rank

    def _as_found(self, spots: list[Spot]) -> list[int]:
        return [rank for rank, ord in spots if self._is_row_as_found(ord)]

    def next_row_due(self) -> int | None:
        """Return when the next LATER row is due."""
        known = [due for due, ord in self.next_rows if self._is_row_as_found(ord)]
        changed = [row.due_at_ms for row in self.queue.grouped(_LATER)]
        due = min([*known, *changed], default=None)
        limit = self._read("next", ())
        if len(self.next_rows) == limit and (due is None or due > self.next_rows[-1][0]):
            self.missing.want("next", (), 4 * limit)
        return due

    def _is_row_as_found(self, ord: int) -> bool:
        return ord not in self.queue or self.queue.get(ord) == self.queue.found(ord)

    def _front(self, name: Hashable) -> list[QueueRow]:
        bound = self._bounds.get(name, _END)
        return sorted((row for row in self.queue.grouped(name) if _place_in(row) <= bound), key=_place_in)

    def _is_cut(self, name: Hashable) -> bool:
        return self._bounds.get(name, _END) != _END

    def _read(self, kind: Kind, key: object) -> int:
        return self.covered.get(Need(kind, key), 0)

    # -- places

    def places_taken(self, flow_key: str) -> int:
        self.ask("key", flow_key)
        return self._taken.get(flow_key) or 0

    def places_offered(self, flow_key: str, function: str) -> int:
        self.ask("key", flow_key)
        return self._offered.get((flow_key, function)) or 0

    def offers_before(self, flow_key: str, function: str, rank: int, ord: int) -> int:
        self.ask("offers", (flow_key, function))
        spots = self._offers.get((flow_key, function), [])
        if len(spots) == self._read("offers", (flow_key, function)) and (not spots or spots[-1] < (rank, ord)):
            self.missing.want("offers", (flow_key, function), 4 * len(spots) + 16)
        untouched = [spot for spot in spots if (flow_key, spot[1]) not in self.places]
        known = [(place.rank, place.ord) for place in self.places.grouped(("offers", flow_key, function))]
        return sum(spot < (rank, ord) for spot in (*untouched, *known))

    def place(self, flow_key: str, ord: int) -> bool | None:
        place = self._place(flow_key, ord)
        return None if place is None else place.is_taken

    def put_place(self, flow_key: str, ord: int, function: str, is_taken: bool, rank: int = ranks.NEW) -> None:
        self._change_place(flow_key, ord, Place(flow_key, ord, function, is_taken, rank))

    def drop_place(self, flow_key: str, ord: int) -> None:
        self._change_place(flow_key, ord, None)

    def _change_place(self, flow_key: str, ord: int, place: Place | None) -> None:
        self.ask("key", flow_key)
        self._count_place(flow_key, self._place(flow_key, ord), -1)
        self._count_place(flow_key, place, 1)
        self.places.put((flow_key, ord), place)

    def _count_place(self, flow_key: str, place: Place | None, change: int) -> None:
        if place is None:
            return
        if place.is_taken:
            self._taken.put(flow_key, (self._taken.get(flow_key) or 0) + change)
        else:
            offered = (flow_key, place.function)
            self._offered.put(offered, (self._offered.get(offered) or 0) + change)

    def _place(self, flow_key: str, ord: int) -> Place | None:
        if (flow_key, ord) not in self.places and ord not in self._placed:
            self.is_locked(ord)
        return self.places.get((flow_key, ord))

    # -- what was read

    def take_queue(self, wanted: list[int], rows: list[Row]) -> None:
        """Note the queue rows of runs."""
        for row in map(values.queue_row, rows):
            self.queue.load(row.ord, row)
        for ord in wanted:
            if ord not in self.queue:
                self.queue.load(ord, None)

    def take_places(self, rows: list[Row]) -> None:
        """Note the places that runs have."""
        for flow_key, ord, function, is_taken, rank in rows:
            self.places.load((flow_key, ord), Place(flow_key, ord, function, bool(is_taken), rank))

    def take_keys(self, wanted: dict[str, int], counts: list[Row], line: list[Row]) -> None:
        """Note the places of flow keys, and who is first in line for one. Whoever is in line belongs to its key."""
        self.forget_heads()
        for flow_key in wanted:
            self._taken.load(flow_key, 0)
        for flow_key, function, is_taken, count in counts:
            if is_taken:
                self._taken.load(flow_key, (self._taken.get(flow_key) or 0) + count)
            else:
                self._offered.load((flow_key, function), count)
        lines: dict[tuple[str, str], list[Spot]] = {}
        for row in map(values.queue_row, line):
            lines.setdefault((row.flow_key, row.function), []).append(_place_in(row))
            self._in_line.setdefault(row.flow_key, set()).add(row.function)
            self.queue.load(row.ord, row)
            self._placed.add(row.ord)
        for (flow_key, function), spots in lines.items():
            self._bind(("line", flow_key, function), sorted(spots), wanted[flow_key])

    def take_offers(self, wanted: list[tuple[str, str]], rows: list[Row]) -> None:
        """Note the first offered places of functions."""
        for key in wanted:
            self._offers[key] = []
        for flow_key, function, rank, ord in rows:
            self._offers[flow_key, function].append((rank, ord))

    def take_lines(self, wanted: list[tuple[str, str]], rows: list[Row]) -> None:
        """Note in whose lines functions stand: their keys are to be locked."""
        for key in wanted:
            self._line_keys[key] = []
        for function, after, flow_key in rows:
            self._line_keys[function, after].append(flow_key)
            self.found_keys.add(flow_key)

    def take_last(self, wanted: list[tuple[str, str]], rows: list[Row]) -> None:
        """Note the highest ranks of fair keys."""
        for key in wanted:
            self._last[key] = []
        for function, fair_key, rank, ord in rows:
            self._last[function, fair_key].append((rank, ord))

    def take_first(self, wanted: list[str], rows: list[Row]) -> None:
        """Note the lowest ranks of functions."""
        for function in wanted:
            self._first[function] = []
        for function, rank, ord in rows:
            self._first[function].append((rank, ord))

    def take_heads(self, wanted: dict[str, int], rows: list[Row]) -> None:
        """Note who is first to be claimed. What is not locked is not ours."""
        found: dict[str, list[tuple[int, int]]] = {function: [] for function in wanted}
        for function, rank, ord in rows:
            found[function].append((rank, ord))
            if ord not in self.locked:
                self.claimable.add(function)
        for function, limit in wanted.items():
            self._bind(("open", function), found[function], limit)

    def take_later(self, now_ms: int, limit: int, rows: list[Row]) -> None:
        """Note which rows are due."""
        self._later_until = max(self._later_until, now_ms)
        self.due_rows = [ord for _, ord in rows if ord not in self.locked]
        self._bind(_LATER, [(due, ord) for due, ord in rows], limit)

    def take_next_rows(self, rows: list[Row]) -> None:
        """Note what is due next."""
        self.next_rows = [(due, ord) for due, ord in rows]

    def _bind(self, name: Hashable, places: list[tuple[int, int]], limit: int) -> None:
        if len(places) < limit:
            self._bounds[name] = _END
        else:
            self._bounds[name] = places[-1] if places else _NOTHING


def _offers(place: Place) -> tuple[Hashable, ...]:
    return () if place.is_taken else (("offers", place.flow_key, place.function),)


def _lists(row: QueueRow) -> tuple[Hashable, ...]:
    lists = _lists_of_state(row)
    if row.fair_key:
        lists = (*lists, ("fair", row.function, row.fair_key))
    if row.rank >= ranks.FIRST and row.state in (QueueState.OPEN, QueueState.LINE):
        lists = (*lists, ("ranked", row.function))
    return lists


def _lists_of_state(row: QueueRow) -> tuple[Hashable, ...]:
    match row.state:
        case QueueState.OPEN:
            return (("open", row.function),)
        case QueueState.LATER:
            return (_LATER,)
        case QueueState.LINE:
            return (("line", row.flow_key), ("in line", row.function))
        case QueueState.HELD | QueueState.GATHERED:
            return ()


def _place_in(row: QueueRow) -> tuple[int, int]:
    return (row.due_at_ms if row.state is QueueState.LATER else row.rank, row.ord)
