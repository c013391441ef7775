"""One transaction over all rows of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...model import Item
from ..port import StoreBroken, StoreError
from ..tables import EndedRow, EventRow, OpenWait, QueueRow
from .errors import store_error
from .event_rows import EventRows
from .item_rows import ItemRows
from .place_rows import PlaceRows
from .purge_rows import PurgeRows
from .queue_rows import QueueRows
from .rows import Db
from .run_rows import RunRows
from .session_rows import SessionRows
from .statements import statements
from .tag_rows import TagRows
from .wait_rows import WaitRows

_SQL = statements("events")
_ORD = "last_ord"


class SqliteTables(RunRows, EventRows, QueueRows, PlaceRows, WaitRows, ItemRows, TagRows, PurgeRows, SessionRows):
    """Implements `Tables` on the connection of the one writer."""

    def __init__(self, db: Db) -> None:
        RunRows.__init__(self, db)
        EventRows.__init__(self, db)
        QueueRows.__init__(self, db)
        PlaceRows.__init__(self, db)
        WaitRows.__init__(self, db)
        ItemRows.__init__(self, db)
        TagRows.__init__(self, db)
        PurgeRows.__init__(self, db)
        SessionRows.__init__(self, db)
        self._last_ord = self._stored_ord = self._read_ord()
        self._next_due_at_ms: int | None = None
        self._is_due_known = False

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.flush()
        self._db.execute("COMMIT")
        self._claims.commit()
        self._trim_events()
        self._trim()
        self._trim_places()
        self._trim_heads()

    def rollback(self) -> None:
        """Take back everything; also after an error that has made SQLite do so by itself."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._claims.rollback()
        self._forget_all()

    def copy_log(self) -> None:
        """Copy the write-ahead log into the database; between transactions only. Raises `StoreBroken`.

        A full disk does no harm here: the log keeps everything, and the next commit says what is wrong.
        """
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if isinstance(broken := store_error(error), StoreBroken):
                raise broken from error

    def flush(self) -> None:
        """Write what was held back."""
        super().flush()
        self.flush_events()
        self.flush_queue()
        self.flush_places()
        if self._last_ord != self._stored_ord:
            self._db.execute(_SQL["put_meta"], (_ORD, self._last_ord))
            self._stored_ord = self._last_ord

    def savepoint(self) -> None:
        self.flush()
        self._db.execute("SAVEPOINT operation")
        self._claims.savepoint()

    def rollback_to_savepoint(self) -> None:
        self._db.execute("ROLLBACK TO operation")
        self._claims.rollback_to_savepoint()
        self._forget_all()

    def store_error(self, error: Exception) -> StoreError | None:
        return store_error(error)

    def next_ord(self) -> int:
        self._last_ord += 1
        return self._last_ord

    def expect(self, ords: Sequence[int]) -> None:
        self.expect_events(self.expect_runs(ords))

    def ended_after(self, ord: int, limit: int) -> list[EndedRow]:
        self.flush()
        return super().ended_after(ord, limit)

    # -- what is counted, read and dropped for the retention looks at the events themselves

    def keep_event(self, event: str) -> None:
        self.flush_events()
        super().keep_event(event)

    def release_event(self, event: str) -> EventRow | None:
        self.flush_events()
        return super().release_event(event)

    def accepted_after(self, ord: int, limit: int) -> list[EventRow]:
        self.flush_events()
        return super().accepted_after(ord, limit)

    def drop_event(self, ord: int) -> None:
        self.flush_events()
        self._trim_events()
        super().drop_event(ord)

    # -- runs in memory know whether they may have a wait: most never have one

    def wait(self, ord: int, key: str) -> OpenWait | None:
        return super().wait(ord, key) if self._may_wait(ord) else None

    def waits_of(self, ord: int) -> list[OpenWait]:
        return super().waits_of(ord) if self._may_wait(ord) else []

    def has_waits(self, ord: int) -> bool:
        return self._may_wait(ord) and super().has_waits(ord)

    def _is_new(self, ord: int) -> bool:
        return ord in self._new

    # -- what is due next: asked after every batch, changed by few

    def put_wait(self, wait: OpenWait) -> None:
        self._is_due_known = False
        self._note_wait(wait.ord)
        super().put_wait(wait)

    def drop_wait(self, ord: int, key: str) -> None:
        self._is_due_known = False
        super().drop_wait(ord, key)

    def put_queue_row(self, row: QueueRow) -> None:
        self._is_due_known = False
        super().put_queue_row(row)

    def drop_queue_row(self, ord: int) -> None:
        self._is_due_known = False
        super().drop_queue_row(ord)

    def put_item(self, item: Item) -> None:
        self._is_due_known = False
        super().put_item(item)

    def drop_item(self, kind: str, owner: str, name: str) -> None:
        self._is_due_known = False
        super().drop_item(kind, owner, name)

    def drop_items(self, owner: str) -> None:
        self._is_due_known = False
        super().drop_items(owner)

    def next_due_at_ms(self) -> int | None:
        if not self._is_due_known:
            found = (self.next_wait_due_at_ms(), self.next_row_due_at_ms(), self.next_item_due_at_ms())
            self._next_due_at_ms = min((due for due in found if due is not None), default=None)
            self._is_due_known = True
        return self._next_due_at_ms

    def _forget_all(self) -> None:
        self._discard()
        self._discard_events()
        self._discard_apps()
        self._discard_paths()
        self._changed.clear()
        self._discard_heads()
        self._discard_places()
        self._discard_sessions()
        self._is_due_known = False
        self._last_ord = self._stored_ord = self._read_ord()

    def _read_ord(self) -> int:
        row = self._db.execute(_SQL["meta"], (_ORD,)).fetchone()
        return 0 if row is None else int(row[0])
