"""Whoever waits for the end of a run is told by the commit that ends it."""

from __future__ import annotations

import asyncio
import contextlib

from .commit import Committer
from .model import Run
from .store.port import Notices, Store


class Endings:
    """The people who wait, by run."""

    def __init__(self, committer: Committer, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._looked = 0
        committer.listen(self._committed)

    async def wait(self, run: str, patience_ms: int | None = None) -> Run | None:
        """Return the run once it has ended, or as it is after `patience_ms` (None: for ever); None if there is no such
        run.
        """
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # First wait, then look: an end between the two is not missed.
        self._waiting.setdefault(run, set()).add(told)
        try:
            found = await self._store.run(run)
            if found is None or found.status.is_terminal or patience_ms == 0:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told, None if patience_ms is None else patience_ms / 1000)
            return await self._store.run(run)
        finally:
            self._forget(run, told)

    def release(self) -> None:
        """Let everybody go who waits: they get their run as it is now."""
        for waiting in self._waiting.values():
            for told in waiting:
                if not told.done():
                    told.set_result(None)

    def tell(self, run: str) -> None:
        """Let everybody go who waits for this run."""
        for told in self._waiting.get(run, ()):
            if not told.done():
                told.set_result(None)

    async def look(self, limit: int) -> None:
        """Look whether runs that somebody waits for have ended, at most `limit` of them; the others come next."""
        waiting = list(self._waiting)
        self._looked = self._looked % max(1, len(waiting))
        for run in waiting[self._looked : self._looked + limit]:
            found = await self._store.run(run)
            if found is not None and found.status.is_terminal:
                self.tell(run)
        self._looked += limit if len(waiting) > limit else 0

    def _committed(self, notices: Notices) -> None:
        for run in notices.finished:
            self.tell(run)

    def _forget(self, run: str, told: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(run)
        if waiting is not None:
            waiting.discard(told)
            if not waiting:
                del self._waiting[run]
