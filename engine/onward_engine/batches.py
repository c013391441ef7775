"""Which of the operations that wait go into the next transaction: the oldest ones, and not every run's at once.

A hundred busy runs would all go in step: their results come in one message, wait for one commit and leave in one
message, so that worker and engine take turns, and one of them always sleeps. Half of them in each transaction makes two
groups: one is stored while the other one is executed. It is half of the runs that move, not a fixed number, so that a
slow disk still gets large transactions from many runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .settings import Bounds
from .store.port import ApplyCheckpoint, Op

GROUP_MIN = 48
"""Runs in one transaction that are never divided: storing them takes a millisecond, several times as long as a flush of
a quick disk, and with fewer the flushes cost more than what both sides gain by working at the same time."""


@dataclass(slots=True, eq=False)
class Item:
    """An operation, who is told of its outcome, and its payload in bytes."""

    op: Op[Any]
    done: Callable[[Any], None]
    size: int


class Batches:
    """The operations that wait, in order."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._items: deque[Item] = deque()
        self._runs: set[str] = set()  # those of the last batch
        self.bytes = 0
        """The payload of all that waits."""

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item, *, is_urgent: bool) -> None:
        """Put it behind all others, or before them."""
        (self._items.appendleft if is_urgent else self._items.append)(item)
        self.bytes += item.size

    def replace(self, items: Iterable[Item]) -> None:
        """Let these wait, and nothing else."""
        self._items = deque(items)
        self.bytes = sum(item.size for item in self._items)

    def take(self) -> list[Item]:
        """Return the next batch, which does not wait any more."""
        runs_max = self._runs_max()
        batch: list[Item] = []
        runs: set[str] = set()
        size = 0
        while (
            self._items
            and len(batch) < self._bounds.batch_ops_max
            and size < self._bounds.batch_bytes_max
            and len(runs) < runs_max
        ):
            item = self._items.popleft()
            size += item.size
            batch.append(item)
            runs.update(_going_on(item))
        self.bytes -= size
        self._runs = runs
        return batch

    def _runs_max(self) -> int:
        """Half of the runs that move, or all that wait if only a few of them would be left for a batch of their own."""
        everything = self._bounds.batch_ops_max
        if len(self._items) <= GROUP_MIN:
            return everything
        waiting = {run for item in islice(self._items, everything) for run in _going_on(item)}
        half = max(GROUP_MIN, (len(self._runs | waiting) + 1) // 2)
        return half if len(waiting) > half + half // 4 else everything


def _going_on(item: Item) -> tuple[str, ...]:
    """The run that waits for this to be stored, to go on with its next step."""
    return (item.op.run,) if isinstance(item.op, ApplyCheckpoint) and item.op.outcome is None else ()
