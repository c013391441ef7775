"""How long it takes after a kill until all that it has interrupted moves again."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.arena import Kill
from tests.chaos.notes import Acked, Broken, Connected
from tests.support.ledger import Execution, Ledger

IDLE_MS = 2_000
"""A worker that is connected and neither begins a step nor hears of a result for so long has nothing to do."""


@dataclass(frozen=True)
class Outage:
    """A connection of a worker that broke, when the next one served, and when something moved over it."""

    broken_at_ms: int
    connected_at_ms: int
    moved_at_ms: int


@dataclass(slots=True)
class Witnesses:
    """What is known of one round. Connections are in the order of each worker."""

    ledger: Ledger
    acks: Sequence[Acked]
    connections: Sequence[Connected | Broken]
    _moves: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for one in self.ledger.executions:
            self._moves[one.worker].append(one.began_at_ms)
        for ack in self.acks:
            self._moves[ack.worker].append(ack.at_ms)
        for moments in self._moves.values():
            moments.sort()

    def moved_at_ms(self, worker: str, since_ms: int) -> int | None:
        """Return when a worker began a step, or heard that a result is durable, from then on."""
        moments = self._moves[worker]
        index = bisect_left(moments, since_ms)
        return moments[index] if index < len(moments) else None

    def outages(self) -> Iterator[Outage]:
        """Return every connection that broke and was followed by another one."""
        for before, after in zip(self.connections, self.connections[1:], strict=False):
            if isinstance(before, Broken) and isinstance(after, Connected) and before.worker == after.worker:
                moved_at_ms = self.moved_at_ms(after.worker, after.at_ms)
                is_idle = moved_at_ms is None or moved_at_ms - after.at_ms > IDLE_MS
                yield Outage(before.at_ms, after.at_ms, after.at_ms if is_idle else moved_at_ms or 0)


def after_engines(kills: Sequence[Kill], witnesses: Witnesses) -> Iterator[int]:
    """Return for each kill of an engine how long its slowest worker took until it worked with another one, or with the
    next: steps begin or are acknowledged over its new connection.
    """
    outages = list(witnesses.outages())
    for kill, next_ms in zip(kills, [*(kill.at_ms for kill in kills[1:]), 1 << 60], strict=False):
        moved = [one.moved_at_ms for one in outages if kill.at_ms <= one.broken_at_ms < next_ms]
        if moved:
            yield max(moved) - kill.at_ms


def after_databases(kills: Sequence[Kill], witnesses: Witnesses) -> Iterator[int]:
    """Return for each kill of a database how long it took until every worker began a step, or was told of a durable
    result, with the one that was started anew.
    """
    workers = {one.worker for one in witnesses.connections}
    for kill in kills:
        moved = [witnesses.moved_at_ms(worker, kill.replaced_at_ms) for worker in workers]
        known = [at_ms for at_ms in moved if at_ms is not None]
        if known:
            yield max(known) - kill.at_ms


def after_workers(kills: Sequence[Kill], witnesses: Witnesses) -> Iterator[int]:
    """Return for each step that the kill of a worker has interrupted how long it took until it began elsewhere."""
    for kill in kills:
        interrupted = [one for one in witnesses.ledger.executions if _is_interrupted(one, kill)]
        for one in interrupted:
            again = [other.began_at_ms for other in witnesses.ledger.executions if _is_again(other, one, kill)]
            yield from (at_ms - kill.at_ms for at_ms in again[:1])


def _is_interrupted(one: Execution, kill: Kill) -> bool:
    return one.worker == kill.name and one.ended_at_ms is None


def _is_again(other: Execution, one: Execution, kill: Kill) -> bool:
    return (other.run, other.step) == (one.run, one.step) and other.began_at_ms >= kill.replaced_at_ms
