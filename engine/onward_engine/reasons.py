"""Why a run is where it is: what `rules.flow.reasons` has to know is collected here, from the store and the workers."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from onward_protocol.messages import AppManifest, FunctionManifest

from .catalogue import Catalogue
from .clock import Clock
from .loads import Loads
from .model import Item, Run, Status
from .rates import Rates
from .rules.flow.entry import kind_of
from .rules.flow.facts import AHEAD_MAX, Queued
from .rules.flow.keys import THROTTLE
from .rules.flow.known import Known
from .rules.flow.reasons import Why, why
from .rules.triggers import Catalog
from .settings import Settings
from .store.port import Store
from .store.work.gathering import gathered_of
from .store.work.throttles import passed

_QUEUED = (Status.QUEUED, Status.READY, Status.ORPHANED)


class Reasons:
    """Explains runs. `has_company` tells whether other engines give places back as well."""

    def __init__(
        self, store: Store, catalogue: Catalogue, loads: Loads, rates: Rates, clock: Clock, settings: Settings
    ) -> None:
        self.has_company: Callable[[], bool] = lambda: False
        self._store = store
        self._catalogue = catalogue
        self._loads = loads
        self._rates = rates
        self._clock = clock
        self._times = settings.times

    async def waits_for(self, run: Run) -> str:
        """Say in a few words what a run waits for; nothing if it does not."""
        return "" if run.status.is_terminal else (await self.why(run, ahead_max=0)).waits_for

    async def why(self, run: Run, ahead_max: int = AHEAD_MAX) -> Why:
        """Say why a run is where it is, and how many of at most `ahead_max` are before it. The parts of the answer are
        read one after the other, and a run may move on meanwhile: whoever wants to be sure asks again.
        """
        function = self._catalogue.function(run.function)
        known = Known(
            now_ms=self._clock.wall_ms(),
            run=run,
            catalog=await self._catalog(function),
            crew=self._loads.crew(run, function.labels if function else {}),
            times=self._times,
        )
        if run.status is Status.PARKED:
            known.awaited = tuple(await self._store.awaited(run.id))
        elif run.status in _QUEUED and (queued := await self._store.queued(run.id, ahead_max)):
            known.queued = queued
            await self._look_closer(known, queued)
        return why(known)

    async def _look_closer(self, known: Known, queued: Queued) -> None:
        if queued.state == "limited":
            known.holders = await self._store.holders(queued.flow_key)
            known.freed_per_ms = None if self.has_company() else self._rates.per_ms(queued.flow_key)
            item = await self._item(THROTTLE, queued.flow_key)
            known.arrival_us = passed(item).arrival_us if item else 0
        elif queued.state == "gathering":
            item = await self._item(kind_of(queued.flow_key), queued.flow_key)
            if item is not None:
                known.gathered, known.due_at_ms = gathered_of(item), item.due_at_ms

    async def _item(self, kind: str, owner: str) -> Item | None:
        return next(iter(await self._store.items(kind, owner, limit=1)), None)

    async def _catalog(self, function: FunctionManifest | None) -> Catalog:
        """Return what counts now for one function; what triggers it does not matter here."""
        paused, limits = await self._catalogue.paused(), await self._catalogue.limits()
        functions = (replace(function, triggers=()),) if function else ()
        return Catalog((AppManifest("", functions=functions),), paused, limits)
