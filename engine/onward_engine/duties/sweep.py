"""Finds what nobody has told this engine of: messages between engines may get lost.

Each sweep looks at a bounded number of runs, all of them known here: what its workers hold, what they could run, and
what somebody waits for. What a store keeps beside that makes no difference to its cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..catalogue import Catalogue
from ..clock import Clock
from ..commit import Committer, ignore
from ..connection import Connection
from ..connections import Connections
from ..dispatch import Dispatch
from ..endings import Endings
from ..followers import Followers
from ..service import Service
from ..settings import Settings
from ..store.port import FireTimers, Remind


class Sweep(Service):
    """Looks at the store now and then. `also` is what else is to be done as often."""

    def __init__(
        self,
        *,
        committer: Committer,
        connections: Connections,
        dispatch: Dispatch,
        endings: Endings,
        followers: Followers,
        catalogue: Catalogue,
        clock: Clock,
        settings: Settings,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._committer = committer
        self._connections = connections
        self._dispatch = dispatch
        self._endings = endings
        self._followers = followers
        self._catalogue = catalogue
        self._clock = clock
        self._pause_ms = settings.sharing.sweep_ms
        self._held_max = settings.bounds.sweep_runs_max
        self._waited_max = settings.bounds.sweep_waits_max
        self._timers_max = settings.bounds.timers_max
        self._also = also
        self._unswept: list[Connection] = []

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause_ms / 1000)
            self._dispatch.expect(self._connections.functions)
            self._remind()
            self._committer.submit(FireTimers(self._clock.wall_ms(), self._timers_max), ignore)
            await self._endings.look(self._waited_max)
            self._followers.look(self._waited_max)
            await self._catalogue.load()
            self._also()

    def _remind(self) -> None:
        """Look again at what workers hold: at the next of them in turn, until that makes enough runs."""
        self._unswept = self._unswept or list(self._connections)
        count = 0
        while self._unswept and count < self._held_max:
            connection = self._unswept.pop()
            runs = connection.session.mirror.promised() if connection.is_newest else ()
            if runs:
                op = Remind(self._clock.wall_ms(), connection.instance, connection.generation, runs)
                self._committer.submit(op, ignore)
            count += len(runs)
