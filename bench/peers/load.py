"""Questions to the process that puts the load on a peer, `bench.peers.work.load`."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .children import START_S, PeerFailed, child, tail

T = TypeVar("T")

ANSWER_S = 120
WORK = "bench.peers.work"


class Tens(Struct, frozen=True):
    taken_s: float
    results: list[int]


class Load:
    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log

    async def ticks(self, count: int) -> list[int]:
        """Moments, in nanoseconds, at which the bodies of successive steps of one run began."""
        return await self._ask(list[int], ask="ticks", count=count)

    async def tens(self, runs: int, in_flight: int) -> Tens:
        """Ten steps in each of many runs: how long all of them took, and what each returned."""
        return await self._ask(Tens, ask="tens", runs=runs, in_flight=in_flight)

    async def first_lines(self, count: int) -> list[tuple[int, int]]:
        """For each run its number, as it came back, and the nanoseconds from the request to its first line."""
        return await self._ask(list[tuple[int, int]], ask="first_lines", count=count)

    async def fans(self, count: int, width: int) -> list[tuple[int, int]]:
        """For each run of 1 + width + 1 steps the nanoseconds that it took, and its result."""
        return await self._ask(list[tuple[int, int]], ask="fans", count=count, width=width)

    async def facts(self) -> dict[str, Any]:
        """What the peer says about itself, once it is ready to be asked."""
        return await self._answer(dict[str, Any], START_S)

    async def _ask(self, kind: type[T], **question: str | int) -> T:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(question) + b"\n")
        return await self._answer(kind, ANSWER_S)

    async def _answer(self, kind: type[T], limit_s: int) -> T:
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise PeerFailed(f"no answer in {limit_s} s: {tail(self._log)}") from None
        if not line:
            raise PeerFailed(f"the load ended: {tail(self._log)}")
        return msgspec.json.decode(line, type=kind)


@asynccontextmanager
async def loaded(interpreter: Path, module: str, arguments: list[str], home: Path) -> AsyncGenerator[Load]:
    """Start the load of a peer, end it."""
    log = home / f"{module}.log"
    async with child([interpreter, "-m", f"{WORK}.{module}", *arguments], log, is_asked=True) as process:
        yield Load(process, log)
