"""One batch over the rows that were read for it."""

from __future__ import annotations

from collections.abc import Sequence

from ..claims import RecentClaims
from ..port import StoreError
from .event_rows import KnownApps
from .item_rows import ItemRows
from .purge_rows import PurgeRows
from .queue_rows import QueueRows
from .reading import Incomplete, Reading
from .session_rows import SessionRows
from .statics import Statics
from .tag_rows import TagRows
from .values import Row
from .wait_rows import WaitRows


class PostgresTables(PurgeRows, QueueRows, WaitRows, ItemRows, TagRows, SessionRows):
    """Implements `Tables` in memory. Nothing here speaks to the database: rows are read before, and what has become of
    them is written after.
    """

    def __init__(self, statics: Statics, known: KnownApps, claims: RecentClaims, numbers: list[int]) -> None:
        """`numbers` are free in the order of acceptance."""
        Reading.__init__(self, statics)
        self.numbers = numbers
        self._used = self._used_before = 0
        self._mark = 0
        self.begin_runs()
        self.begin_events(known)
        self.begin_purge()
        self.begin_queue(claims)
        self.begin_waits()
        self.begin_items()
        self.begin_tags()
        self.begin_sessions()

    def begin(self) -> None:
        self.undo.clear()
        self.claims.rollback()  # of a try whose transaction was lost
        self._used = 0

    def commit(self) -> None:
        """Raise `Incomplete` if anything was asked for in vain."""
        if self.missing:
            raise Incomplete("the batch has to be done again")

    def rollback(self) -> None:
        self.undo.back_to(0)
        self.forget_heads()
        self.claims.rollback()

    def flush(self) -> None:
        """What cannot be stored was refused when it was put."""

    def savepoint(self) -> None:
        self._mark, self._used_before = self.undo.mark(), self._used
        self.claims.savepoint()

    def rollback_to_savepoint(self) -> None:
        self.undo.back_to(self._mark)
        self.forget_heads()
        self._used = self._used_before
        self.claims.rollback_to_savepoint()

    def store_error(self, error: Exception) -> StoreError | None:
        """An operation that has asked for what was not read may fail for no other reason."""
        return Incomplete(str(error)) if self.missing else None

    def next_ord(self) -> int:
        self._used += 1
        if self._used > len(self.numbers):
            self.missing.want("numbers", (), self._used)
            return 2**61 + self._used
        return self.numbers[self._used - 1]

    def take_numbers(self, rows: list[Row]) -> None:
        """Note numbers that are free now."""
        self.numbers.extend(row[0] for row in rows)

    def next_due_at_ms(self) -> int | None:
        self.ask("next", (), 1)
        found = (self.next_wait_due(), self.next_row_due(), self.next_item_due())
        return min((due for due in found if due is not None), default=None)

    def expect(self, ords: Sequence[int]) -> None:
        """They came with their queue rows."""

    def expect_sent(self, events: Sequence[str]) -> None:
        """They were read with what the operations name."""

    def _is_new(self, ord: int) -> bool:
        return ord in self.new_runs
