"""The queue.

Changes of the queue are held back and written together; every statement that reads it writes them first. The heads of
lines are kept in memory, because each offer asks for them.
"""

from __future__ import annotations

from ..claims import RecentClaims, Taken
from ..tables import QueueRow, QueueState
from .rows import Db, Row
from .statements import statements

_SQL = statements("queue")
_HEADS_MAX = 20_000  # lines whose heads are kept in memory, about 0.5 KB each


class QueueRows:
    """Queue rows by ord, by function, by due time, by flow key and by rank; recent claims."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._claims = RecentClaims()
        self._changed: dict[int, QueueRow | None] = {}
        self._claimable: dict[int, QueueRow] = {}  # have been read in this transaction, and are as they were
        self._heads: dict[str, dict[str, QueueRow]] = {}  # of lines, by flow key and function
        self._head_of: dict[int, str] = {}

    def claimed(self, claim: str) -> Taken | None:
        return self._claims.get(claim)

    def put_claimed(self, claim: str, taken: Taken) -> None:
        self._claims.put(claim, taken)

    def queue_row(self, ord: int) -> QueueRow | None:
        if ord in self._changed:
            return self._changed[ord]
        if ord in self._claimable:
            return self._claimable[ord]
        row = self._db.execute(_SQL["queue_row"], (ord,)).fetchone()
        return None if row is None else queue_row(row)

    def put_queue_row(self, row: QueueRow) -> None:
        self._leave_head(row.ord)
        self._claimable.pop(row.ord, None)
        self._changed[row.ord] = row
        if row.state is QueueState.LINE:
            self._come_to_line(row)

    def drop_queue_row(self, ord: int) -> None:
        self._leave_head(ord)
        self._claimable.pop(ord, None)
        self._changed[ord] = None

    def heads(self, function: str, limit: int) -> list[QueueRow]:
        rows = self._rows("heads", function, max(0, limit))
        self._claimable.update((row.ord, row) for row in rows)
        return rows

    def rows_due(self, now_ms: int, limit: int) -> list[QueueRow]:
        return self._rows("rows_due", now_ms, max(0, limit))

    def line_heads(self, flow_key: str) -> list[QueueRow]:
        heads = self._heads.get(flow_key)
        if heads is None:
            heads = self._heads[flow_key] = self._read_heads(flow_key)
            self._head_of.update((row.ord, flow_key) for row in heads.values())
        return list(heads.values())

    def _read_heads(self, flow_key: str) -> dict[str, QueueRow]:
        heads: dict[str, QueueRow] = {}
        last = ""
        while rows := self._rows("next_line_head", flow_key, last):
            last = rows[0].function
            heads[last] = rows[0]
        return heads

    def _leave_head(self, ord: int) -> None:
        """Whoever stands behind the head of a line may go, and nothing changes at the head."""
        flow_key = self._head_of.get(ord)
        if flow_key is not None:
            self._forget_heads(flow_key)

    def _come_to_line(self, row: QueueRow) -> None:
        heads = self._heads.get(row.flow_key)
        if heads is None:
            return
        head = heads.get(row.function)
        if head is None or (row.rank, row.ord) < (head.rank, head.ord):
            self._forget_heads(row.flow_key)

    def _forget_heads(self, flow_key: str) -> None:
        for head in self._heads.pop(flow_key).values():
            self._head_of.pop(head.ord, None)

    def _trim_heads(self) -> None:
        self._claimable = {}
        if len(self._heads) > _HEADS_MAX:
            self._discard_heads()

    def _discard_heads(self) -> None:
        self._heads, self._head_of, self._claimable = {}, {}, {}

    def line_keys(self, function: str, after: str, limit: int) -> list[str]:
        self.flush_queue()
        values = {"function": function, "after": after, "limit": limit}
        return [key for (key,) in self._db.execute(_SQL["line_keys"], values).fetchall()]

    def last_rank(self, function: str, fair_key: str) -> int:
        self.flush_queue()
        return int(self._db.execute(_SQL["last_rank"], (function, fair_key)).fetchone()[0] or 0)

    def first_rank(self, function: str) -> int:
        self.flush_queue()
        return int(self._db.execute(_SQL["first_rank"], (function,)).fetchone()[0] or 0)

    def next_row_due_at_ms(self) -> int | None:
        self.flush_queue()
        row = self._db.execute(_SQL["next_row_due"]).fetchone()
        return None if row is None else int(row[0])

    def flush_queue(self) -> None:
        """Write what was held back."""
        if self._changed:
            changed, self._changed = self._changed, {}
            self._db.executemany(_SQL["drop_queue_row"], [(ord,) for ord, row in changed.items() if row is None])
            self._db.executemany(_SQL["put_queue_row"], [_values(row) for row in changed.values() if row is not None])

    def _rows(self, name: str, *values: object) -> list[QueueRow]:
        self.flush_queue()
        return [queue_row(row) for row in self._db.execute(_SQL[name], values).fetchall()]


def _values(row: QueueRow) -> Row:
    return row.ord, row.function, row.rank, row.state.value, row.due_at_ms, row.flow_key, row.fair_key


def queue_row(row: Row) -> QueueRow:
    """Return the row of the queue that was read."""
    ord, function, rank, state, due_at_ms, flow_key, fair_key = row
    return QueueRow(ord, function, rank, QueueState(state), due_at_ms, flow_key, fair_key)
