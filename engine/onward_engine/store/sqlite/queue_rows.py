"""The queue and the places of concurrency limits.

Changes of the queue are held back and written together; every statement that reads it writes them first.
"""

from __future__ import annotations

from ..claims import RecentClaims, Taken
from ..tables import QueueRow, QueueState
from .rows import Db, Row
from .statements import statements

_SQL = statements("queue")


class QueueRows:
    """Queue rows by ord, by function, by due time and by flow key; places by flow key; recent claims."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._claims = RecentClaims()
        self._changed: dict[int, QueueRow | None] = {}

    def claimed(self, claim: str) -> Taken | None:
        return self._claims.get(claim)

    def put_claimed(self, claim: str, taken: Taken) -> None:
        self._claims.put(claim, taken)

    def queue_row(self, ord: int) -> QueueRow | None:
        if ord in self._changed:
            return self._changed[ord]
        row = self._db.execute(_SQL["queue_row"], (ord,)).fetchone()
        return None if row is None else _queue_row(row)

    def put_queue_row(self, row: QueueRow) -> None:
        self._changed[row.ord] = row

    def drop_queue_row(self, ord: int) -> None:
        self._changed[ord] = None

    def heads(self, function: str, limit: int) -> list[QueueRow]:
        return self._rows("heads", function, max(0, limit))

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        return self._rows("rows_due", now_ms, max(0, limit))

    def line_head(self, flow_key: str) -> QueueRow | None:
        return next(iter(self._rows("line_head", flow_key)), None)

    def next_row_due_at_ms(self) -> int | None:
        self.flush_queue()
        row = self._db.execute(_SQL["next_row_due"]).fetchone()
        return None if row is None else int(row[0])

    def places_taken(self, flow_key: str) -> int:
        return int(self._db.execute(_SQL["places_taken"], (flow_key,)).fetchone()[0])

    def has_place(self, flow_key: str, ord: int) -> bool:
        return self._db.execute(_SQL["has_place"], (flow_key, ord)).fetchone() is not None

    def add_place(self, flow_key: str, ord: int) -> None:
        self._db.execute(_SQL["add_place"], (flow_key, ord))

    def drop_place(self, flow_key: str, ord: int) -> None:
        self._db.execute(_SQL["drop_place"], (flow_key, ord))

    def flush_queue(self) -> None:
        """Write what was held back."""
        if self._changed:
            changed, self._changed = self._changed, {}
            self._db.executemany(_SQL["drop_queue_row"], [(ord,) for ord, row in changed.items() if row is None])
            self._db.executemany(_SQL["put_queue_row"], [_values(row) for row in changed.values() if row is not None])

    def _rows(self, name: str, *values: object) -> list[QueueRow]:
        self.flush_queue()
        return [_queue_row(row) for row in self._db.execute(_SQL[name], values).fetchall()]


def _values(row: QueueRow) -> Row:
    return row.ord, row.function, row.rank, row.state.value, row.due_at_ms, row.flow_key


def _queue_row(row: Row) -> QueueRow:
    ord, function, rank, state, due_at_ms, flow_key = row
    return QueueRow(ord, function, rank, QueueState(state), due_at_ms, flow_key)
