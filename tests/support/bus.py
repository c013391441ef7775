"""A bus in memory between engines of one simulation, with faults: messages that come late, twice or never."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context, copy_context

from onward_engine.bus import MESSAGE_BYTES_MAX

Listener = Callable[[bytes], None]


class MemoryBus:
    """What all stations are connected to. Of 100 messages to one engine `lost_percent` do not arrive, and as many of
    the others as `doubled_percent` says arrive twice, each after `delay_ms`.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self.delay_ms: tuple[float, float] = (0, 0)
        self.lost_percent = 0
        self.doubled_percent = 0
        self.published = 0
        self._rng = rng or random.Random(0)
        self._stations: list[Station] = []

    def station(self) -> Station:
        """Return the bus as one engine sees it."""
        return Station(self)

    def join(self, station: Station) -> None:
        """Bring everything to this station from now on."""
        self._stations.append(station)

    def leave(self, station: Station) -> None:
        """Bring nothing more to this station. May be repeated."""
        if station in self._stations:
            self._stations.remove(station)

    def carry(self, sender: Station, message: bytes) -> None:
        """Bring a message to everybody, the sender too, as far as the faults allow."""
        assert len(message) <= MESSAGE_BYTES_MAX
        message.decode()
        self.published += 1
        for station in self._stations:
            if not sender.is_cut and not station.is_cut and self._rng.randrange(100) >= self.lost_percent:
                for _ in range(1 + (self._rng.randrange(100) < self.doubled_percent)):
                    self._deliver(station, message)

    def _deliver(self, station: Station, message: bytes) -> None:
        delay_s = self._rng.uniform(*self.delay_ms) / 1000
        asyncio.get_running_loop().call_later(delay_s, station.receive, message, context=station.context)


class Station:
    """Implements `Bus` for one engine. One that `is_cut` hears nothing and is not heard."""

    def __init__(self, bus: MemoryBus) -> None:
        self.is_cut = False
        self.context: Context = copy_context()
        self._bus = bus
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def publish(self, message: bytes) -> None:
        self._bus.carry(self, message)

    def receive(self, message: bytes) -> None:
        """Take a message that has arrived."""
        for listener in self._listeners:
            listener(message)

    async def start(self, group: asyncio.TaskGroup) -> None:
        del group
        self.context = copy_context()  # of its engine's host
        self._bus.join(self)

    async def stop(self) -> None:
        self._bus.leave(self)
