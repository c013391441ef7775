"""The functions that are registered, in memory: what exists, and what an event name may start."""

from __future__ import annotations

from collections.abc import Iterable

from onward_protocol.messages import AppManifest, FunctionManifest

from .model import Item
from .rules.triggers import Catalog
from .store.port import Store
from .store.tables import LIMIT, PAUSE, limits_of


class Catalogue:
    """A copy of what the store knows. The store decides; this one saves asking it for every event."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._apps: dict[str, AppManifest] = {}
        self._index = Catalog()

    async def load(self) -> None:
        """Read what was registered before this start."""
        self._apps = {app.name: app for app in await self._store.functions()}
        self._index = Catalog(self._apps.values())

    def put(self, app: AppManifest) -> None:
        """Note a manifest that is now durable."""
        self._apps[app.name] = app
        self._index = Catalog(self._apps.values())

    def has(self, app: AppManifest) -> bool:
        """Tell whether exactly this manifest is the newest of its app."""
        return self._apps.get(app.name) == app

    def same(self, app: AppManifest) -> AppManifest:
        """Return what is kept here if it is equal: thousands of workers of an app need not have a manifest each."""
        known = self._apps.get(app.name)
        return known if known is not None and known == app else app

    @property
    def apps(self) -> list[AppManifest]:
        """Return all manifests, by name."""
        return [self._apps[name] for name in sorted(self._apps)]

    async def knows(self, function: str) -> bool:
        """Tell whether a function is registered. Others may have registered it in a store that they share."""
        if function not in self and self._store.is_shared:
            await self.load()
        return function in self

    def function(self, function: str) -> FunctionManifest | None:
        """Return a function as it is registered."""
        return self._index.functions.get(function)

    async def paused(self) -> set[str]:
        """Return the functions that begin no new runs, as the store knows them now."""
        return {item.name for item in await self._kept(PAUSE)}

    async def limits(self) -> dict[tuple[str, str], int]:
        """Return the limits that were set, by function and option, as the store knows them now."""
        return limits_of(await self._kept(LIMIT))

    async def _kept(self, kind: str) -> list[Item]:
        found: list[Item] = []
        while page := await self._store.items(kind, "", found[-1].name if found else ""):
            found += page
        return found

    def __contains__(self, function: str) -> bool:
        return function in self._index.functions

    def started_by(self, names: Iterable[str]) -> set[str]:
        """Return the functions that events of these names may start."""
        return {function.id for name in names for function in self._index.starts(name)}
