"""What a peer is to a benchmark: packages to install, and settings in which it is started and asked."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from .load import Load


@dataclass(frozen=True)
class Sizes:
    """How much is asked for in one round, so that a round takes a peer at most some twenty seconds. Of `loads` with so
    many runs it is the median one that counts: for who is done with one of them in less than a second.
    """

    steps: int
    runs: int
    first_lines: int
    fans: int
    loads: int = 1


TINY = Sizes(steps=20, runs=20, first_lines=5, fans=2)


@dataclass(frozen=True)
class Running:
    """A peer that is ready. `facts` are what it says about its own settings, not what it was told."""

    load: Load
    processes: Mapping[str, Process]
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Setting:
    """`keeps` says what has become of a step when the next one begins. `start` is given an empty folder."""

    name: str
    keeps: str
    is_default: bool
    is_durable: bool
    sizes: Sizes
    start: Callable[[Path], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True)
class Peer:
    """`not_measured` says which settings are missing, and why."""

    name: str
    packages: tuple[str, ...]
    install: Callable[[], object]
    settings: tuple[Setting, ...]
    not_measured: str
