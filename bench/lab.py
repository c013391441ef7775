"""Where the benchmarks measure: one engine, one worker, and the machine's primitives beside them.

Primitives are measured in every round, between the product's figures, so that drift of the machine hits both.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from websockets.asyncio.client import ClientConnection

from . import primitives
from .cluster import Cluster, engine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

SAMPLES = 100
GROUPS = 30


@dataclass(frozen=True)
class Primitives:
    """Medians of one round, in microseconds."""

    round_trip_us: float
    fdatasync_us: float
    group_commit_us: float

    @property
    def floor_us(self) -> float:
        """The least that a strict step can take: there, on the disk, and back."""
        return self.round_trip_us + self.fdatasync_us

    @property
    def rows_per_s(self) -> float:
        """Rows a second that SQLite makes durable in groups of 100."""
        return primitives.GROUP_ROWS / self.group_commit_us * 1e6


@dataclass(frozen=True)
class Site:
    """An engine, and a peer that echoes, on the disk of this checkout."""

    cluster: Cluster
    peer: ClientConnection

    async def primitives(self, samples: int = SAMPLES, groups: int = GROUPS) -> Primitives:
        """Measure the machine now."""
        home = self.cluster.home
        return Primitives(
            statistics.median(await primitives.round_trips(self.peer, samples)),
            statistics.median(primitives.fdatasyncs(home, samples)),
            statistics.median(primitives.group_commits(home, groups)),
        )


@dataclass(frozen=True)
class Lab(Site):
    """The same with one worker."""

    worker: subprocess.Popen[bytes]


@asynccontextmanager
async def site() -> AsyncGenerator[Site]:
    """Start an engine without workers."""
    with tempfile.TemporaryDirectory(prefix="onward-bench-", dir=".") as home:
        async with primitives.echo_peer() as peer:
            with engine(Path(home)) as cluster:
                yield Site(cluster, peer)


@asynccontextmanager
async def lab() -> AsyncGenerator[Lab]:
    """Start an engine and a worker, as a user does."""
    async with site() as here:
        with here.cluster.worker() as worker:
            yield Lab(here.cluster, here.peer, worker)


def medians(found: Iterable[DataclassInstance]) -> dict[str, float]:
    """Return the median of each primitive over the rounds."""
    rounds = [asdict(one) for one in found]
    return {name: round(statistics.median(one[name] for one in rounds), 1) for name in rounds[0]}


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest of the values that is not below so many percent of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
