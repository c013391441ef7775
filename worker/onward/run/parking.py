"""Parked runs, oldest first, and which of them have to leave the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onward_protocol.messages import Sleep

if TYPE_CHECKING:
    from onward.run.residence import Residence


class Parking:
    """Keeps at most `resident_max` runs, `threads_max` of them with threads, each for at most `ttl_ms`."""

    def __init__(self, *, resident_max: int, threads_max: int, ttl_ms: int) -> None:
        self.ttl_ms = ttl_ms
        self._resident_max = resident_max
        self._threads_max = threads_max
        self._since_ms: dict[Residence, int] = {}

    def __contains__(self, residence: Residence) -> bool:
        return residence in self._since_ms

    def add(self, residence: Residence, now_ms: int) -> None:
        """The run parks now."""
        self._since_ms.pop(residence, None)
        self._since_ms[residence] = now_ms

    def discard(self, residence: Residence) -> None:
        """The run goes on, or is gone."""
        self._since_ms.pop(residence, None)

    def leavers(self, now_ms: int) -> list[Residence]:
        """Return the runs that have to leave, oldest first; one with unacknowledged frames stays until then."""
        chosen = dict.fromkeys([*self._surplus(), *self._surplus_threads(), *self._overdue(now_ms)])
        return [residence for residence in chosen if residence.course.outbox.is_settled]

    def next_ms(self, now_ms: int) -> int | None:
        """Return how long until the oldest run has been here for `ttl_ms`."""
        oldest = next(iter(self._since_ms.values()), None)
        return None if oldest is None else max(0, oldest + self.ttl_ms - now_ms)

    def _surplus(self) -> list[Residence]:
        return list(self._since_ms)[: max(0, len(self._since_ms) - self._resident_max)]

    def _surplus_threads(self) -> list[Residence]:
        holders = [residence for residence in self._since_ms if residence.function.is_sync]
        too_long = [residence for residence in holders if self._sleeps_longer(residence)]
        return [*too_long, *holders[: max(0, len(holders) - self._threads_max)]]

    def _overdue(self, now_ms: int) -> Iterator[Residence]:
        for residence, since_ms in self._since_ms.items():
            if since_ms + self.ttl_ms > now_ms:
                return
            yield residence

    def _sleeps_longer(self, residence: Residence) -> bool:
        """A thread that waits for a sleep which outlasts its stay is better given back at once."""
        waits = residence.course.open_waits.values()
        return all(isinstance(wait, Sleep) and wait.ms > self.ttl_ms for wait in waits)
