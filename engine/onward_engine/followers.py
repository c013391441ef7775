"""Whoever follows a run's history is told by each commit that adds to it, also at another engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence

from .clock import Clock
from .commit import Committer
from .model import Run
from .store.port import ApplyCheckpoint, Committed, Op, RunFilter, StepPage, Store

HEEDED_MS = 60_000
"""Another engine that follows a run says so again before this is over."""

HEEDED_MAX = 10_000
"""Runs that others follow; of more, others find out by looking."""


class Followers:
    """The people who follow, by run. `on_follow` hears of each run that somebody begins to follow here, `on_written` of
    each one followed elsewhere that has been written here.
    """

    def __init__(self, committer: Committer, store: Store, clock: Clock) -> None:
        self.on_follow: Callable[[str], None] = _ignore
        self.on_written: Callable[[str], None] = _ignore
        self._store = store
        self._clock = clock
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._heeded: dict[str, int] = {}  # until when, on the clock that never jumps
        self._is_released = False
        committer.observe(self._committed)

    async def steps(self, run: str, after: int, limit: int, patience_ms: int) -> tuple[Run, StepPage] | None:
        """Return the next lines of a run's history as soon as there are any, the run is over or `patience_ms` have
        passed, and the run as it was before; None if there is no such run.
        """
        begin_ms = self._clock.monotonic_ms()
        with self._told(run) as told:
            while True:
                told.clear()
                found, page = await self._read(run, after, limit)
                left_ms = begin_ms + patience_ms - self._clock.monotonic_ms()
                is_enough = page.steps or page.next is not None or self._is_released
                if found is None or found.status.is_terminal or is_enough or left_ms <= 0:
                    return None if found is None else (found, page)
                after = page.end
                self.on_follow(run)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), left_ms / 1000)

    def tell(self, run: str) -> None:
        """Have those look who follow this run."""
        for told in self._waiting.get(run, ()):
            told.set()

    def look(self, limit: int) -> None:
        """Have those look who have waited longest, at most `limit` runs."""
        for run in list(self._waiting)[:limit]:
            self.tell(run)
            self._waiting[run] = self._waiting.pop(run)

    def heed(self, run: str) -> None:
        """Note that somebody follows this run at another engine."""
        now_ms = self._clock.monotonic_ms()
        if len(self._heeded) >= HEEDED_MAX:
            self._heeded = {run: until for run, until in self._heeded.items() if until > now_ms}
        if len(self._heeded) < HEEDED_MAX:
            self._heeded[run] = now_ms + HEEDED_MS

    def release(self) -> None:
        """Let everybody go: they get what there is now."""
        self._is_released = True
        for run in self._waiting:
            self.tell(run)

    async def _read(self, run: str, after: int, limit: int) -> tuple[Run | None, StepPage]:
        # First the run, then its steps: of one that is over, all are there.
        runs = (await self._store.runs(RunFilter(ids=(run,)))).runs
        return (runs[0] if runs else None), await self._store.steps(run, after, limit)

    @contextlib.contextmanager
    def _told(self, run: str) -> Generator[asyncio.Event]:
        told = asyncio.Event()
        self._waiting.setdefault(run, set()).add(told)
        try:
            yield told
        finally:
            self._waiting[run].discard(told)
            if not self._waiting[run]:
                del self._waiting[run]

    def _committed(self, ops: Sequence[Op[object]], committed: Committed, seconds: float) -> None:
        del seconds
        if not self._waiting and not self._heeded:
            return
        frames = {op.run for op in ops if isinstance(op, ApplyCheckpoint)}
        for run in frames | committed.notices.written | set(committed.notices.finished):
            self.tell(run)
            if self._heeded.get(run, 0) > self._clock.monotonic_ms():
                self.on_written(run)


def _ignore(run: str) -> None:
    """Nobody else is to hear of it."""
