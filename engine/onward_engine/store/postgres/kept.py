"""Runs as this process has written them last: what is still so in the database need not be read to be written again."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ...model import Run
from .tables import PostgresTables
from .values import bare

_KEPT_MAX = 20_000  # about 1 KB each


class KeptRun(NamedTuple):
    """A run, the version of its row, and how many rows its journal has."""

    run: Run
    version: int
    tail: int


class KeptRuns:
    """Runs that go on, by id. The oldest are forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[str, KeptRun] = OrderedDict()

    def get(self, run: str) -> KeptRun | None:
        """Return a run that is kept."""
        return self._kept.get(run)

    def forget(self, run: str) -> None:
        """Read this one the next time."""
        self._kept.pop(run, None)

    def note(self, tables: PostgresTables) -> None:
        """Keep what a batch has written, once it is committed."""
        for ord, found, run in tables.runs.changes():
            if run is not None and not run.status.is_terminal:
                version = 1 if found is None else tables.versions[ord] + 1
                self._kept[run.id] = KeptRun(bare(run), version, tables.tails.get(ord) or 0)
            elif (over := run or found) is not None:
                self.forget(over.id)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)  # a plain dict would look through all that was ever removed
