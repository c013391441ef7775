"""What a commit at one engine means for workers and clients at the others.

    commit -> what nobody here can be told -> (a moment later, many in one) bus -> the others look at the store

A message is only a hint. What gets lost is found by the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import assert_never

import structlog

from .bus import MESSAGE_BYTES_MAX, Bus
from .catalogue import Catalogue
from .clock import Clock
from .commit import Committer, ignore
from .connections import Connections
from .dispatch import Dispatch
from .endings import Endings
from .followers import Followers
from .loads import Loads
from .model import Status
from .news import Changed, Finished, Followed, Item, Loaded, Moved, Queued, Ready, Registered, Written, decode, encode
from .service import Service
from .store.port import Notices, Remind

GATHER_MS = 2
"""News wait so long for others, so that a busy engine sends some hundred messages a second and not one a commit."""

NEWS_MAX = 20_000
"""News that wait to be sent; more are dropped, and found by the sweeps of the others."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("onward.relay")


class Relay(Service):
    """Tells the other engines, and hears them. `has_company` says whether there are any."""

    def __init__(
        self,
        *,
        bus: Bus,
        replica: str,
        committer: Committer,
        connections: Connections,
        dispatch: Dispatch,
        endings: Endings,
        followers: Followers,
        catalogue: Catalogue,
        loads: Loads,
        clock: Clock,
    ) -> None:
        self.has_company = True
        self._bus = bus
        self._replica = replica
        self._committer = committer
        self._connections = connections
        self._dispatch = dispatch
        self._endings = endings
        self._followers = followers
        self._catalogue = catalogue
        self._loads = loads
        self._clock = clock
        self._news: dict[Item, None] = {}
        self._queued: set[str] = set()  # functions of which nobody else has been told since they were queued
        self._is_gathering = False
        self._is_catalogue_old = asyncio.Event()
        committer.listen(self._committed)
        dispatch.on_surplus = self._offer
        followers.on_follow = lambda run: self._tell_others(Followed(run))
        followers.on_written = lambda run: self._tell_others(Written(run))
        bus.listen(self.hear)

    async def stop(self) -> None:
        """Tell what is still to be told, and end."""
        self._send()
        await super().stop()

    async def _run(self) -> None:
        """Read the apps again whenever others have changed them."""
        while True:
            await self._is_catalogue_old.wait()
            self._is_catalogue_old.clear()
            await self._catalogue.load()

    # -- out -----------------------------------------------------------------------------------------------------------

    def _committed(self, notices: Notices) -> None:
        self._queued |= notices.queued
        if self.has_company:
            self._tell(self._news_of(notices))

    def _news_of(self, notices: Notices) -> Iterable[Item]:
        for woken in notices.woken:
            if self._connections.of(woken.holder, woken.generation) is None:
                is_ready = woken.status is Status.READY
                yield (
                    Ready(woken.run, woken.epoch, woken.holder, woken.generation)
                    if is_ready
                    else Changed(woken.run, woken.epoch, woken.holder)
                )
        for halted in notices.halted:
            if self._connections.newest(halted.holder) is None:
                yield Changed(halted.run, halted.epoch, halted.holder)
        for fenced in notices.fenced:
            if self._connections.newest(fenced.holder) is None:
                yield Changed(fenced.run, fenced.epoch, fenced.holder)
        yield from (Finished(run) for run in notices.finished)
        yield from (Moved(one.instance, one.generation) for one in notices.superseded)
        if notices.registered:
            yield Registered()

    def _offer(self, functions: set[str]) -> None:
        """Offer others what nobody here has a free slot for."""
        offered = functions & self._queued
        self._queued -= offered
        if self.has_company:
            self._tell(Queued(function) for function in sorted(offered))

    def _tell_others(self, item: Item) -> None:
        if self.has_company:
            self._tell((item,))

    def _tell(self, items: Iterable[Item]) -> None:
        for item in items:
            if len(self._news) < NEWS_MAX:
                self._news[item] = None
        if self._news and not self._is_gathering:
            self._is_gathering = True
            asyncio.get_running_loop().call_later(GATHER_MS / 1000, self._send)

    def tell_loads(self) -> None:
        """Tell the others how busy the workers here are; by itself, because an engine of before does not know it."""
        if self.has_company:
            for message in encode(self._replica, self._loads.own(), MESSAGE_BYTES_MAX):
                self._bus.publish(message)

    def _send(self) -> None:
        self._is_gathering = False
        news, self._news = self._news, {}
        for message in encode(self._replica, news, MESSAGE_BYTES_MAX):
            self._bus.publish(message)

    # -- in ------------------------------------------------------------------------------------------------------------

    def hear(self, message: bytes) -> None:
        """Act on what another engine tells."""
        found = decode(message)
        if found is None:
            _log.warning("news not understood", bytes=len(message))
            return
        sender, items = found
        if sender != self._replica:
            for item in items:
                self._use(item)
            self._connections.flush()

    def _use(self, item: Item) -> None:
        match item:
            case Changed():
                self._look_again(item)
            case Ready():
                connection = self._connections.of(item.holder, item.generation)
                if connection is not None:
                    self._dispatch.ready(connection, item.run, item.epoch)
            case Queued():
                self._dispatch.expect({item.function} & self._connections.functions)
            case Finished() | Followed() | Written():
                self._tell_askers(item)
            case Moved():
                self._connections.supersede(item.instance, item.generation)
            case Loaded():
                self._loads.hear(item)
            case Registered():
                self._is_catalogue_old.set()
            case _:
                assert_never(item)

    def _tell_askers(self, item: Finished | Followed | Written) -> None:
        match item:
            case Finished():
                self._endings.tell(item.run)
            case Followed():
                self._followers.heed(item.run)
            case Written():
                self._followers.tell(item.run)

    def _look_again(self, changed: Changed) -> None:
        connection = self._connections.newest(changed.holder)
        if connection is not None:
            op = Remind(
                now_ms=self._clock.wall_ms(),
                instance=connection.instance,
                generation=connection.generation,
                runs=((changed.run, changed.epoch),),
            )
            self._committer.submit(op, ignore)
