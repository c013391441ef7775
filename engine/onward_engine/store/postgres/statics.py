"""What never changes about runs, kept by this process, because most batches are about runs that it has met before."""

from __future__ import annotations

from ...model import Run

_KEPT_MAX = 50_000  # about 1 KB each


class Statics:
    """Runs as they were made, without payloads, by id and by ord. The oldest are forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: dict[int, Run] = {}
        self._ords: dict[str, int] = {}

    def __contains__(self, ord: int) -> bool:
        """Tell whether a run is known."""
        return ord in self._runs

    def ord(self, run: str) -> int | None:
        """Return the ord of a run that is known."""
        return self._ords.get(run)

    def get(self, ord: int) -> Run | None:
        """Return a run that is known."""
        return self._runs.get(ord)

    def named(self, run: str) -> Run | None:
        """Return the same by id."""
        ord = self._ords.get(run)
        return None if ord is None else self._runs[ord]

    def keep(self, run: Run) -> None:
        """Keep a run. Only what never changes about it counts."""
        self._runs[run.ord] = run
        self._ords[run.id] = run.ord

    def trim(self) -> None:
        """Forget the oldest; only between batches, which may be about more runs than are kept."""
        while len(self._runs) > _KEPT_MAX:
            self.forget(next(iter(self._runs)))

    def forget(self, ord: int) -> None:
        """Forget a run that is not there any more."""
        run = self._runs.pop(ord, None)
        if run is not None:
            self._ords.pop(run.id, None)
