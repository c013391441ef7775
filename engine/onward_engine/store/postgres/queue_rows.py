"""The queue, the places of concurrency limits, and what is due, of one batch."""

from __future__ import annotations

from collections.abc import Hashable

from ..claims import RecentClaims, Taken
from ..tables import QueueRow, QueueState
from . import values
from .needs import ALL, Kind, Need
from .reading import Reading
from .rows import Rows
from .values import Row

Place = tuple[str, int]
_END = (ALL, ALL)
_NOTHING = (-1, -1)
_LATER = "later"


class QueueRows(Reading):
    """Queue rows by ord, by function, by due time and by flow key; places by flow key; recent claims.

    Lists are known up to a bound: what stands behind it in the database was not read.
    """

    def begin_queue(self, claims: RecentClaims) -> None:
        """Begin with nothing read. The claims are those of this process."""
        self.claims = claims
        self.queue: Rows[int, QueueRow] = Rows(self.undo, _lists)
        self.places: Rows[Place, bool] = Rows(self.undo)
        self._taken: Rows[str, int] = Rows(self.undo)
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
        self.queue.put(row.ord, row)

    def drop_queue_row(self, ord: int) -> None:
        self.is_locked(ord)
        old = self.queue.get(ord)
        if old is not None:
            if old.state is QueueState.LINE:
                self.ask("key", old.flow_key)
            self.queue.put(ord, None)

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

    def line_head(self, flow_key: str) -> QueueRow | None:
        self.ask("key", flow_key)
        rows = self._front(("line", flow_key))
        if not rows and self._is_cut(("line", flow_key)):
            self.missing.want("key", flow_key, 2 * self._read("key", flow_key) + 1)
        return rows[0] if rows else None

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

    def has_place(self, flow_key: str, ord: int) -> bool:
        if (flow_key, ord) not in self.places:
            self.is_locked(ord)
        return bool(self.places.get((flow_key, ord)))

    def add_place(self, flow_key: str, ord: int) -> None:
        self._change_place(flow_key, ord, has=True)

    def drop_place(self, flow_key: str, ord: int) -> None:
        self._change_place(flow_key, ord, has=False)

    def _change_place(self, flow_key: str, ord: int, *, has: bool) -> None:
        self.ask("key", flow_key)
        self.places.put((flow_key, ord), has or None)
        self._taken.put(flow_key, (self._taken.get(flow_key) or 0) + (1 if has else -1))

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
        for flow_key, ord in rows:
            self.places.load((flow_key, ord), True)

    def take_keys(self, wanted: dict[str, int], counts: list[Row], line: list[Row]) -> None:
        """Note the places of flow keys, and who is first in line for one."""
        taken: dict[str, int] = dict(counts)
        for flow_key in wanted:
            self._taken.load(flow_key, taken.get(flow_key, 0))
        lines: dict[str, list[QueueRow]] = {flow_key: [] for flow_key in wanted}
        for row in map(values.queue_row, line):
            lines[row.flow_key].append(row)
            self.queue.load(row.ord, row)
            self.places.load((row.flow_key, row.ord), None)
        for flow_key, limit in wanted.items():
            self._bind(("line", flow_key), [_place_in(row) for row in lines[flow_key]], limit)

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


def _lists(row: QueueRow) -> tuple[Hashable, ...]:
    match row.state:
        case QueueState.OPEN:
            return (("open", row.function),)
        case QueueState.LATER:
            return (_LATER,)
        case QueueState.LINE:
            return (("line", row.flow_key),)
        case QueueState.HELD:
            return ()


def _place_in(row: QueueRow) -> tuple[int, int]:
    return (row.due_at_ms if row.state is QueueState.LATER else row.rank, row.ord)
