"""What an engine does because others may share its store: it says that it lives, tells them what concerns their
workers, and looks after what they leave behind.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .bus import Bus
from .catalogue import Catalogue
from .clock import Clock
from .commit import Committer, Refused
from .connections import Connections
from .dispatch import Dispatch
from .duties.presence import Presence
from .duties.sweep import Sweep
from .endings import Endings
from .followers import Followers
from .gateway import Gateway
from .loads import Loads
from .relay import Relay
from .settings import Settings


class Sharing:
    """These parts with one life."""

    def __init__(
        self,
        *,
        bus: Bus,
        replica: str,
        committer: Committer,
        connections: Connections,
        catalogue: Catalogue,
        dispatch: Dispatch,
        endings: Endings,
        followers: Followers,
        gateway: Gateway,
        loads: Loads,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._bus = bus
        self._dispatch = dispatch
        self._relay = Relay(
            bus=bus,
            replica=replica,
            committer=committer,
            connections=connections,
            dispatch=dispatch,
            endings=endings,
            followers=followers,
            catalogue=catalogue,
            loads=loads,
            clock=clock,
        )
        self._sweep = Sweep(
            committer=committer,
            connections=connections,
            dispatch=dispatch,
            endings=endings,
            followers=followers,
            catalogue=catalogue,
            clock=clock,
            settings=settings,
            also=self._relay.tell_loads,
        )
        self._presence = presence = Presence(committer, clock, settings, replica, send_on=gateway.send_on)
        dispatch.may_assign = lambda: presence.is_current
        gateway.may_renew = lambda: presence.is_current or not self.has_company
        presence.on_company = self._met

    @property
    def has_company(self) -> bool:
        """Whether another engine lives on the same store, as far as this one knows."""
        return self._presence.others > 0

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to live beside others; returns when they can know of it. Raises `Refused`."""
        await self._presence.start(group)
        await self._bus.start(group)
        await self._relay.start(group)
        await self._sweep.start(group)

    async def stop(self, patience_ms: int) -> None:
        """End everything, and hand on what is still held through this engine if that is stored within `patience_ms`."""
        await self._sweep.stop()
        await self._presence.stop()
        with suppress(TimeoutError, Refused):
            async with asyncio.timeout(patience_ms / 1000):
                await self._presence.leave()
        await self._relay.stop()
        await self._bus.stop()

    def _met(self, others: int) -> None:
        """This engine lives, as its row says; one that is alone has nobody to tell anything."""
        self._relay.has_company = others > 0
        self._dispatch.look()
