"""Stores in memory that take their time, run full or break, when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Committed, Op, StoreBroken, StoreFull


class Gated(MemoryStore):
    """A store whose answers wait while `gate` is closed. `batches` tells what came together.

    The gate closes by itself behind an operation of the kind `closes_behind`, and `closed` is set then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.closes_behind: type[Op[Any]] | None = None
        self.closed = asyncio.Event()

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        self.batches.append([type(op).__name__ for op in ops])
        committed = await super().apply(ops)
        if self.closes_behind is not None and any(isinstance(op, self.closes_behind) for op in ops):
            self.closes_behind = None
            self.gate.clear()
            self.closed.set()
        await self.gate.wait()
        return committed


class Failing(MemoryStore):
    """A store on a disk that is full, or breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.is_broken = False

    async def apply(self, ops: Sequence[Op[object]]) -> Committed:
        if self.is_broken:
            raise StoreBroken("the disk failed")
        if self.is_full:
            raise StoreFull("no space left on device")
        return await super().apply(ops)
